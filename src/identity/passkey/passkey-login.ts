import { hash } from 'node:crypto';
import type { PublicKeyCredentialRequestOptionsJSON } from '@simplewebauthn/server';
import type { Log } from '../../runtime/log.ts';
import { isDatabaseUnavailable } from '../../runtime/fault.ts';
import type { OwnerMetrics } from '../../runtime/metrics.ts';
import type { Authentication } from '../account/authenticate.ts';
import type { LoginThrottle } from '../account/login-throttle.ts';
import type { Account, AccountStore } from '../store/account-store.ts';
import type { Passkey } from '../store/passkey-store.ts';
import { readAssertion, type Assertion, type BrowserAnswer } from './browser-answer.ts';
import { challengeLifetimeMs } from './challenges.ts';
import { bytesOf, type PasskeyParts } from './passkey-parts.ts';
import { userHandleOf } from './user-handle.ts';

export type PasskeyLogin = {
  /** The options for the browser: any passkey of this site. They don't show which accounts exist. */
  begin(interaction: string): Promise<PublicKeyCredentialRequestOptionsJSON>;
  /** Verifies the browser's response (JSON). @param attempt.interaction the login that it was sent to */
  finish(attempt: { answer: string; interaction: string; address: string }): Promise<Authentication>;
};

export type PasskeyLoginOptions = PasskeyParts & {
  accounts: AccountStore;
  throttle: LoginThrottle;
  metrics: Pick<OwnerMetrics, 'logins'>;
  log: Log;
};

type PasskeyRefusal = 'malformed' | 'challenge' | 'unknown' | 'signature' | 'counter';
type Evaluation = { kind: 'accepted'; account: Account } | { kind: 'refused'; reason: PasskeyRefusal };

const refused = (reason: PasskeyRefusal): Evaluation => ({ kind: 'refused', reason });

/** Creates the login by passkey. The result does not show why an attempt was refused. */
export function createPasskeyLogin(options: PasskeyLoginOptions): PasskeyLogin {
  const { site, library, challenges, throttle, metrics } = options;
  return {
    begin: async (interaction) =>
      await library.generateAuthenticationOptions({
        rpID: site.rpId,
        challenge: bytesOf(await challenges.make({ kind: 'login', interaction })),
        userVerification: 'required',
        timeout: challengeLifetimeMs,
      }),
    finish: async ({ answer: text, interaction, address }) => {
      const answer = readAssertion(text);
      if (answer === undefined) return refuse('malformed', options);
      // User names contain no space, so the keys don't collide. Unknown passkeys count like known ones.
      const key = `passkey ${hash('sha256', answer.credential.id)}`;
      const waitMs = throttle.take(key, address);
      if (waitMs > 0) {
        metrics.logins.inc({ result: 'throttled' });
        return { kind: 'throttled', retryAfterSeconds: Math.ceil(waitMs / 1000) };
      }
      const evaluation = await evaluate(answer, interaction, options).catch((thrown: unknown) => {
        if (isDatabaseUnavailable(thrown)) throttle.giveBack(key, address);
        throw thrown;
      });
      if (evaluation.kind === 'refused') return refuse(evaluation.reason, options);
      metrics.logins.inc({ result: 'ok' });
      throttle.giveBack(key, address);
      return { kind: 'authenticated', account: evaluation.account };
    },
  };
}

function refuse(reason: PasskeyRefusal, { metrics, log }: PasskeyLoginOptions): Authentication {
  metrics.logins.inc({ result: 'refused' });
  log.debug('passkey refused', { reason });
  return { kind: 'refused' };
}

async function evaluate(
  { credential, challenge }: BrowserAnswer<Assertion>,
  interaction: string,
  options: PasskeyLoginOptions,
): Promise<Evaluation> {
  const { challenges, passkeys, accounts, clock, log } = options;
  const purpose = await challenges.take(challenge);
  if (purpose?.kind !== 'login' || purpose.interaction !== interaction) return refused('challenge');
  const passkey = await passkeys.findByCredential(credential.id);
  const account = passkey === undefined ? undefined : await accounts.find(passkey.accountId);
  if (passkey === undefined || account === undefined || account.isDisabled) return refused('unknown');
  // WebAuthn Level 3 §7.2 step 6: without a user name, the passkey itself must name its account.
  if (credential.response.userHandle !== userHandleOf(account.id)) return refused('unknown');
  const signature = await verify({ credential, challenge, passkey }, options);
  if (signature === undefined) return refused('signature');
  if (await passkeys.use(passkey.id, { ...signature, nowMs: clock.nowMs() }))
    return { kind: 'accepted', account };
  // §6.1.1: two devices use the same key, a signature was sent twice, or the passkey was removed a moment
  // ago.
  log.warn('the signature counter of a passkey did not increase: it may have been copied', {
    found: passkey.id,
  });
  return refused('counter');
}

type Signed = { credential: Assertion; challenge: string; passkey: Passkey };

async function verify(
  { credential, challenge, passkey }: Signed,
  { site, library, log }: PasskeyLoginOptions,
): Promise<{ counter: number; isBackedUp: boolean } | undefined> {
  try {
    const { verified, authenticationInfo } = await library.verifyAuthenticationResponse({
      response: { ...credential, clientExtensionResults: {} },
      expectedChallenge: challenge,
      expectedOrigin: site.origin,
      expectedRPID: site.rpId,
      requireUserVerification: true,
      // The store compares the counters, in the statement that writes the new one.
      credential: { id: passkey.credentialId, publicKey: passkey.publicKey, counter: 0 },
    });
    const { newCounter, credentialBackedUp } = authenticationInfo;
    return verified ? { counter: newCounter, isBackedUp: credentialBackedUp } : undefined;
  } catch (thrown) {
    log.debug('passkey signature not verified', { err: thrown });
    return undefined;
  }
}
