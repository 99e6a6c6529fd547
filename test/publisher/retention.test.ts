import { describe, expect, it } from 'vitest';
import { logRetentionSeconds } from '../../src/publisher/retention.ts';
import { createRevocations } from '../../src/revocation/exposure-rule.ts';
import { testVerifier } from '../token/fixtures.ts';
import { issueToken, testNow } from '../token/tokens.ts';

// The authorizer accepts tokens whose lifetime the retention covers, so lifetime, slack and retention must
// match.

const maxTokenLifetimeMs = 300_000;
const clockToleranceMs = 5000;
const retentionSeconds = logRetentionSeconds({ maxTokenLifetimeMs, clockToleranceMs });

describe('the retention of a log', () => {
  const revocations = createRevocations(
    { find: () => undefined, stalenessMs: () => 0, retentionSeconds },
    { nowMs: () => testNow * 1000, monotonicMs: () => 0 },
  );

  async function outcome(lifetimeSeconds: number): Promise<string> {
    const verified = await testVerifier().verify(issueToken({ now: testNow, lifetimeSeconds }));
    if (verified.kind === 'rejected') return verified.reason;
    const limits = { maxExposureMs: 30_000, clockToleranceSeconds: clockToleranceMs / 1000 };
    return revocations.evaluate(verified.token, limits, testNow * 1000).kind;
  }

  it('covers the longest lifetime that a token may have, with its times rounded apart', async () => {
    expect(await outcome(300)).toBe('clear');
    expect(await outcome(301)).toBe('clear');
    expect(await outcome(302)).toBe('lifetime_too_long');
  });

  it('is no longer than the lifetime, its slack, both tolerances and the race', () => {
    expect(retentionSeconds).toBe(300 + 1 + 2 * 5 + 5);
  });
});
