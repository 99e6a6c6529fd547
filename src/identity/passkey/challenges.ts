import { randomBytes } from 'node:crypto';
import type { Clock } from '../../runtime/clock.ts';
import type { Credentials } from '../store/account-store.ts';
import type { TokenStore } from '../store/token-store.ts';

/** What a challenge was made for; it is good for nothing else. */
export type ChallengePurpose =
  /** A pending login, which belongs to one browser. */
  | { kind: 'login'; interaction: string }
  /** A browser's login whose owner has just proved who they are, with these credentials. */
  | { kind: 'add'; loginUid: string; credentials: Credentials };

/** In the database, so that every replica knows them. */
export type Challenges = {
  make(purpose: ChallengePurpose): Promise<string>;
  /** Whatever follows, the challenge is gone. @returns undefined if it was taken before, is too old, or never was */
  take(challenge: string): Promise<ChallengePurpose | undefined>;
};

/** Also how long a browser waits for the person. */
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
