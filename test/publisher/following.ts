import { appendFileSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { createRevocationFeed } from '../../src/revocation/redis-feed.ts';
import type { RevocationFeed } from '../../src/revocation/feed.ts';
import type { Revocable, RevocationFinding } from '../../src/revocation/revocable.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { createLog } from '../../src/runtime/log.ts';
import { createAuthorizerMetrics, createRegistry } from '../../src/runtime/metrics.ts';
import { outputFile } from '../output.ts';
import { eventually } from '../processes.ts';

/** An authorizer's feed, and how it evaluates tokens. */
export type Follower = {
  readonly feed: RevocationFeed;
  /**
   * The kind that revokes a token, or `clear` or `unproven`. By default the token was issued a second ago.
   */
  evaluate(token: Partial<Revocable>): string;
  /** Waits until the token is refused by an entry of this kind. */
  untilRefused(token: Partial<Revocable>, by?: string): Promise<void>;
  counted(result: string): Promise<number>;
};

/** Starts a feed and waits until it is live. The end of the test stops it. */
export async function follow(url: string, logName: string, issuers: readonly string[]): Promise<Follower> {
  const file = outputFile('feed');
  const metrics = createAuthorizerMetrics(createRegistry());
  const feed = createRevocationFeed({
    redis: { url },
    logName,
    issuers: issuers.map((issuer) => ({ issuer, clockToleranceSeconds: 5 })),
    maxExposureMs: 30_000,
    maxEntries: 10_000,
    clock: systemClock,
    log: createLog({
      program: 'feed',
      level: 'debug',
      destination: { write: (line: string) => appendFileSync(file, line) },
    }),
    metrics,
  });
  await feed.start();
  onTestFinished(() => feed.stop());
  if (!(await feed.waitForSync(10_000))) throw new Error('the feed was never live');

  function evaluate(token: Partial<Revocable>): string {
    const nowMs = Date.now();
    const nowSeconds = Math.floor(nowMs / 1000);
    const whole: Revocable = {
      issuer: issuers[0] ?? '',
      subject: 'someone',
      session: undefined,
      tokenId: undefined,
      clientIds: [],
      keyNames: ['some-key'],
      issuedAt: nowSeconds - 1,
      expiresAt: nowSeconds + 2,
      ...token,
    };
    const limits = { maxExposureMs: 30_000, clockToleranceSeconds: 5 };
    return describeFinding(feed.revocations.evaluate(whole, limits, nowMs));
  }

  return {
    feed,
    evaluate,
    untilRefused: async (token, by) => {
      await eventually(`refused: ${JSON.stringify(token)}`, () => {
        const found = evaluate(token);
        return (by === undefined ? found !== 'clear' && found !== 'unproven' : found === by)
          ? true
          : undefined;
      });
    },
    counted: async (result) => {
      const { values } = await metrics.revocationEvents.get();
      return values.find(({ labels }) => labels['result'] === result)?.value ?? 0;
    },
  };
}

const describeFinding = (found: RevocationFinding): string =>
  found.kind === 'revoked' ? found.by : found.kind;
