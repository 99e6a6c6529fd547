import { isIP } from 'node:net';

export type EnabledPasskeySite = {
  kind: 'on';
  /** The domain that passkeys belong to. Browsers offer them on its subdomains and on every port, too. */
  rpId: string;
  /** The only origin that may use them: scheme, host and port. */
  origin: string;
};

/** The site that passkeys are for, or why they are disabled. */
export type PasskeySite = EnabledPasskeySite | { kind: 'off'; why: 'configured' | 'insecure' | 'address' };

export type PasskeySettings = {
  enabled: boolean;
  /** Default: the issuer's host. */
  rpId?: string | undefined;
};

/** Browsers store passkeys only for domains, and only in secure contexts (WebAuthn Level 3 §5.1, §13.4.9). */
export function passkeySiteOf(issuer: string, { enabled, rpId }: PasskeySettings): PasskeySite {
  const { protocol, hostname, origin } = new URL(issuer);
  if (!enabled) return { kind: 'off', why: 'configured' };
  if (isIP(hostname.replace(/^\[(.*)\]$/, '$1')) !== 0) return { kind: 'off', why: 'address' };
  const isSecure = protocol === 'https:' || hostname === 'localhost' || hostname.endsWith('.localhost');
  return isSecure ? { kind: 'on', rpId: rpId ?? hostname, origin } : { kind: 'off', why: 'insecure' };
}
