import type * as Library from '@simplewebauthn/server';
import type { decodeAttestationObject as DecodeAttestation } from '@simplewebauthn/server/helpers';
import type { Clock } from '../../runtime/clock.ts';
import type { PasskeyStore } from '../store/passkey-store.ts';
import type { Challenges } from './challenges.ts';
import type { EnabledPasskeySite } from './site.ts';

/** What registering a passkey and logging in with one both need. */
export type PasskeyParts = {
  site: EnabledPasskeySite;
  library: Pick<
    typeof Library,
    | 'generateAuthenticationOptions'
    | 'generateRegistrationOptions'
    | 'verifyAuthenticationResponse'
    | 'verifyRegistrationResponse'
  >;
  decodeAttestation: typeof DecodeAttestation;
  passkeys: PasskeyStore;
  challenges: Challenges;
  clock: Clock;
};

/** Decodes base64url. The library would take a string for plain text and encode it itself. */
export const bytesOf = (base64url: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Buffer.from(base64url, 'base64url'));
