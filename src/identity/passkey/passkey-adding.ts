import { randomUUID } from 'node:crypto';
import type { PublicKeyCredentialCreationOptionsJSON } from '@simplewebauthn/server';
import type { Log } from '../../runtime/log.ts';
import type { Account } from '../store/account-store.ts';
import type { Actor, AuditStore } from '../store/audit-store.ts';
import type { PasskeyInsertion } from '../store/passkey-store.ts';
import { readAttestation, type Attestation } from './browser-answer.ts';
import { challengeLifetimeMs } from './challenges.ts';
import { bytesOf, type PasskeyParts } from './passkey-parts.ts';
import { userHandleOf } from './user-handle.ts';

/**
 * The result of a registration. `refused`: the browser's response is invalid or its challenge has expired.
 */
export type PasskeyAddition = PasskeyInsertion | 'refused';

export type PasskeyAdding = {
  /**
   * Begins a registration. Call it only when the user has just authenticated.
   * @param of.loginUid `uid` of the browser login
   * @returns undefined if the account has as many passkeys as allowed
   */
  begin(of: {
    account: Account;
    loginUid: string;
  }): Promise<PublicKeyCredentialCreationOptionsJSON | undefined>;
  finish(answer: {
    answer: string;
    name: string;
    accountId: string;
    loginUid: string;
    actor: Actor;
  }): Promise<PasskeyAddition>;
};

export type PasskeyAddingOptions = PasskeyParts & {
  audit: AuditStore;
  maxPerAccount: number;
  log: Log;
};

// EdDSA, ES256 and RS256, in order of preference (RFC 9053 §2, RFC 8812 §2).
const algorithms = [-8, -7, -257];

export function createPasskeyAdding(options: PasskeyAddingOptions): PasskeyAdding {
  const { challenges, passkeys, maxPerAccount, audit, clock } = options;
  return {
    begin: async ({ account, loginUid }) => {
      const known = await passkeys.list(account.id);
      if (known.length >= maxPerAccount) return undefined;
      const credentials = { accountId: account.id, changedAtMs: account.credentialsChangedAtMs };
      const challenge = await challenges.make({ kind: 'add', loginUid, credentials });
      return await options.library.generateRegistrationOptions({
        rpName: options.site.rpId,
        rpID: options.site.rpId,
        userID: bytesOf(userHandleOf(account.id)),
        userName: account.username,
        userDisplayName: account.username,
        challenge: bytesOf(challenge),
        timeout: challengeLifetimeMs,
        attestationType: 'none',
        authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
        supportedAlgorithmIDs: algorithms,
        excludeCredentials: known.map(({ credentialId, transports }) => ({
          id: credentialId,
          transports: [...transports],
        })),
      });
    },
    finish: async ({ answer: text, name, accountId, loginUid, actor }) => {
      const answer = readAttestation(text);
      const purpose = answer === undefined ? undefined : await challenges.take(answer.challenge);
      if (answer === undefined || purpose?.kind !== 'add') return 'refused';
      const { credentials } = purpose;
      if (purpose.loginUid !== loginUid || credentials.accountId !== accountId) return 'refused';
      const made = await verify(answer.credential, answer.challenge, options);
      if (made === undefined) return 'refused';
      const [id, nowMs] = [randomUUID(), clock.nowMs()];
      const passkey = { ...made, id, accountId, name, createdAtMs: nowMs, lastUsedAtMs: undefined };
      const entry = { actor, action: 'passkey.add', target: accountId, details: { passkey: id } } as const;
      return await passkeys.insert(passkey, {
        credentials,
        maxPerAccount,
        also: (trx) => audit.record(trx, entry, nowMs),
      });
    },
  };
}

async function verify(
  credential: Attestation,
  challenge: string,
  { site, library, decodeAttestation, log }: PasskeyAddingOptions,
) {
  try {
    const statement = decodeAttestation(bytesOf(credential.response.attestationObject));
    // No attestation was requested. Others are refused before the library reads their certificates, because
    // it would fetch revocation lists from addresses that the sender has chosen.
    const isPlain = statement.get('fmt') === 'none' || isOwnSignature(statement);
    if (!isPlain) return undefined;
    const { verified, registrationInfo } = await library.verifyRegistrationResponse({
      response: { ...credential, clientExtensionResults: {} },
      expectedChallenge: challenge,
      expectedOrigin: site.origin,
      expectedRPID: site.rpId,
      requireUserVerification: true,
      supportedAlgorithmIDs: algorithms,
    });
    // The unsigned id must be the one that is signed.
    if (!verified || registrationInfo.credential.id !== credential.id) return undefined;
    return {
      credentialId: registrationInfo.credential.id,
      publicKey: registrationInfo.credential.publicKey,
      counter: registrationInfo.credential.counter,
      transports: credential.response.transports,
      isBackupEligible: registrationInfo.credentialDeviceType === 'multiDevice',
      isBackedUp: registrationInfo.credentialBackedUp,
    };
  } catch (thrown) {
    log.debug('new passkey refused', { err: thrown });
    return undefined;
  }
}

type Statement = ReturnType<PasskeyParts['decodeAttestation']>;

/**
 * Self attestation: signed with the new key, without a certificate. Browsers may send it unrequested
 * (WebAuthn Level 3 §5.1.3).
 */
const isOwnSignature = (statement: Statement): boolean =>
  statement.get('fmt') === 'packed' && statement.get('attStmt').get('x5c') === undefined;
