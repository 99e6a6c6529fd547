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
  /** What the browser is asked for: any passkey of this site, without a word of who is known here. */
  begin(interaction: string): Promise<PublicKeyCredentialRequestOptionsJSON>;
  /** Judges a browser's answer, as JSON. @param attempt.interaction the pending login it was sent to */
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

/** Makes the log-in by passkey. Whoever is refused is not told why. */
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
      // A user name holds no space. Known and unknown passkeys are counted alike.
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
  // WebAuthn Level 3 §7.2 step 6: the person wasn't named before, so the passkey must name its owner.
  if (credential.response.userHandle !== userHandleOf(account.id)) return refused('unknown');
  const signature = await verify({ credential, challenge, passkey }, options);
  if (signature === undefined) return refused('signature');
  if (await passkeys.use(passkey.id, { ...signature, nowMs: clock.nowMs() }))
    return { kind: 'accepted', account };
  // §6.1.1: two devices with one key, or one signature sent twice; or it was removed this very moment.
  log.warn('a passkey has not counted on: there may be a copy of it', { found: passkey.id });
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
      // Storage compares the counters, in the statement that writes.
      credential: { id: passkey.credentialId, publicKey: passkey.publicKey, counter: 0 },
    });
    const { newCounter, credentialBackedUp } = authenticationInfo;
    return verified ? { counter: newCounter, isBackedUp: credentialBackedUp } : undefined;
  } catch (thrown) {
    log.debug('passkey not verified', { err: thrown });
    return undefined;
  }
}
