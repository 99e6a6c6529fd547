import { isIP } from 'node:net';

/** Where passkeys are good, or why they are off. */
export type PasskeySite =
  | {
      kind: 'on';
      /** The domain they belong to. A browser gives them to its subdomains and to any port, too. */
      rpId: string;
      /** Where alone they may be used: scheme, host and port. */
      origin: string;
    }
  | { kind: 'off'; why: 'configured' | 'insecure' | 'address' };

export type PasskeySettings = {
  enabled: boolean;
  /** Default: the issuer's host. */
  rpId?: string | undefined;
};

/** Browsers keep passkeys for domains only, and only in secure contexts (WebAuthn Level 3 §5.1, §13.4.9). */
export function passkeySiteOf(issuer: string, { enabled, rpId }: PasskeySettings): PasskeySite {
  const { protocol, hostname, origin } = new URL(issuer);
  if (!enabled) return { kind: 'off', why: 'configured' };
  if (isIP(hostname.replace(/^\[(.*)\]$/, '$1')) !== 0) return { kind: 'off', why: 'address' };
  const isSecure = protocol === 'https:' || hostname === 'localhost' || hostname.endsWith('.localhost');
  return isSecure ? { kind: 'on', rpId: rpId ?? hostname, origin } : { kind: 'off', why: 'insecure' };
}
