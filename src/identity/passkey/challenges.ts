import { randomBytes } from 'node:crypto';
import type { Clock } from '../../runtime/clock.ts';
import type { Credentials } from '../store/account-store.ts';
import type { TokenStore } from '../store/token-store.ts';

/** The purpose of a challenge. It can't be used for another one. */
export type ChallengePurpose =
  /** A login, by the id of its interaction, which belongs to one browser. */
  | { kind: 'login'; interaction: string }
  /**
   * The registration of a passkey in a browser login whose user has just authenticated with these
   * credentials.
   */
  | { kind: 'add'; loginUid: string; credentials: Credentials };

/** WebAuthn challenges, stored in the database for all replicas. */
export type Challenges = {
  make(purpose: ChallengePurpose): Promise<string>;
  /** Deletes a challenge. @returns undefined if it was already taken, has expired or never existed */
  take(challenge: string): Promise<ChallengePurpose | undefined>;
};

/** Also the time that a browser gives the user. */
export const challengeLifetimeMs = 5 * 60 * 1000;

const challengeBytes = 32;
const kind = 'PasskeyChallenge';

export function createChallenges({ tokens, clock }: { tokens: TokenStore; clock: Clock }): Challenges {
  return {
    make: async (purpose) => {
      const id = randomBytes(challengeBytes).toString('base64url');
      const nowMs = clock.nowMs();
      const payload = JSON.stringify(purpose);
      const expiresAtMs = nowMs + challengeLifetimeMs;
      await tokens.put({ kind, id, grantId: undefined, payload, expiresAtMs }, nowMs);
      return id;
    },
    take: async (challenge) => {
      const payload = await tokens.take(kind, challenge, clock.nowMs());
      return payload === undefined ? undefined : (JSON.parse(payload) as ChallengePurpose);
    },
  };
}
