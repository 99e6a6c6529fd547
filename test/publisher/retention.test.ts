import { describe, expect, it } from 'vitest';
import { retentionSeconds as ownedRetention } from '../../src/publisher/publisher.ts';
import { retentionSeconds as ownerlessRetention } from '../../src/publisher/ownerless-log.ts';
import { createRevocations } from '../../src/revocation/token-rule.ts';
import { testVerifier } from '../token/fixtures.ts';
import { issueToken, testIssuer, testNow } from '../token/tokens.ts';

// The authorizer takes tokens of a lifetime that the log remembers: the three numbers have to fit together.

const maxTokenLifetimeMs = 300_000;
const toleranceMs = 5000;
const issuers = [{ issuer: testIssuer, clock: 'foreign' as const, maxTokenLifetimeMs }];

const retentions: [string, number][] = [
  ['an owner', ownedRetention({ issuers, clockToleranceMs: toleranceMs })],
  ['nobody', ownerlessRetention({ maxTokenLifetimeMs, toleranceMs })],
];

describe.each(retentions)('a log owned by %s', (_, retentionSeconds) => {
  const revocations = createRevocations(
    { find: () => undefined, stalenessMs: () => 0, retentionSeconds },
    { nowMs: () => testNow * 1000, monotonicMs: () => 0 },
  );

  async function outcome(lifetimeSeconds: number): Promise<string> {
    const verified = await testVerifier().verify(issueToken({ now: testNow, lifetimeSeconds }));
    if (verified.kind === 'rejected') return verified.reason;
    const limits = { maxExposureMs: 30_000, clockToleranceSeconds: toleranceMs / 1000 };
    return revocations.judge(verified.token, limits, testNow * 1000).kind;
  }

  it('remembers as long as the longest accepted token lives, whose times may be rounded apart', async () => {
    expect(await outcome(300)).toBe('clear');
    expect(await outcome(301)).toBe('clear');
    expect(await outcome(302)).toBe('lifetime_too_long');
  });

  it('remembers for no longer than that: the lifetime, its slack, both tolerances and the race', () => {
    expect(retentionSeconds).toBe(300 + 1 + 2 * 5 + 5);
  });
});
