import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRevocations, type RevocationView } from '../../src/revocation/exposure-rule.ts';
import type { Revocable, RevocationFinding } from '../../src/revocation/revocable.ts';

const now = 1_700_000_000;
const limits = { maxExposureMs: 30_000, clockToleranceSeconds: 5 };

const token = (claims: Partial<Revocable>): Revocable => ({
  issuer: 'https://a.example',
  subject: 'alice',
  session: 'session-1',
  tokenId: undefined,
  clientIds: [],
  keyNames: ['key-1'],
  issuedAt: now - 40,
  expiresAt: now + 20,
  ...claims,
});

function evaluate(claims: Partial<Revocable>, known: Partial<RevocationView> = {}): RevocationFinding {
  const view = { find: () => undefined, stalenessMs: () => 1500, retentionSeconds: 75, ...known };
  const clock = { nowMs: () => now * 1000, monotonicMs: () => 5000 };
  return createRevocations(view, clock).evaluate(token(claims), limits, now * 1000);
}

describe('a token is accepted', () => {
  it('if nothing revokes it and the view is fresh', () => {
    expect(evaluate({})).toEqual({ kind: 'clear' });
  });

  it('if it is young, however stale the view is, and before there is any log', () => {
    const unknown = { stalenessMs: () => Infinity, retentionSeconds: undefined };
    expect(evaluate({ issuedAt: now - 30, expiresAt: now + 30 }, unknown)).toEqual({ kind: 'clear' });
    expect(evaluate({ issuedAt: now - 30.1, expiresAt: now + 29 }, unknown)).toEqual({ kind: 'unproven' });
  });

  it('if it is old and the view is at most as stale as allowed', () => {
    expect(evaluate({}, { stalenessMs: () => 30_000 })).toEqual({ kind: 'clear' });
    expect(evaluate({}, { stalenessMs: () => 30_001 })).toEqual({ kind: 'unproven' });
  });

  it('if its issuer is ahead by at most the tolerance', () => {
    expect(evaluate({ issuedAt: now + 5, expiresAt: now + 60 })).toEqual({ kind: 'clear' });
    expect(evaluate({ issuedAt: now + 5.1, expiresAt: now + 60 })).toEqual({ kind: 'unproven' });
  });

  it('if its lifetime is at most the retention, less twice the tolerance and 5 s', () => {
    expect(evaluate({ issuedAt: now - 40, expiresAt: now + 20 })).toEqual({ kind: 'clear' });
    expect(evaluate({ issuedAt: now - 40, expiresAt: now + 21 })).toEqual({ kind: 'outlives_log' });
  });
});

describe('a token is refused', () => {
  it('if the list names it, however young it is', () => {
    const revoked = { kind: 'revoked', by: 'session', reason: 'logout' } as const;
    expect(evaluate({ issuedAt: now }, { find: () => revoked })).toEqual(revoked);
  });

  it('if one of its times is not a number', () => {
    for (const odd of [NaN, Infinity, -Infinity]) {
      expect(evaluate({ issuedAt: odd })).not.toEqual({ kind: 'clear' });
      expect(evaluate({ expiresAt: odd })).not.toEqual({ kind: 'clear' });
    }
  });

  it('if it expires before it is issued', () => {
    expect(evaluate({ issuedAt: now, expiresAt: now })).toEqual({ kind: 'outlives_log' });
  });

  it('if both its age and the staleness exceed the exposure of the route', () => {
    const strict = { ...limits, maxExposureMs: 10_000 };
    const clock = { nowMs: () => now * 1000, monotonicMs: () => 5000 };
    const revocations = createRevocations(
      { find: () => undefined, stalenessMs: () => 12_000, retentionSeconds: 75 },
      clock,
    );
    expect(revocations.evaluate(token({}), strict, now * 1000)).toEqual({ kind: 'unproven' });
    expect(revocations.evaluate(token({}), limits, now * 1000)).toEqual({ kind: 'clear' });
  });
});

it('accepts exactly when the lesser of age and staleness is within the exposure', () => {
  fc.assert(
    fc.property(fc.nat(55), fc.nat(120), fc.integer({ min: 10, max: 60 }), (age, staleness, exposure) => {
      const clock = { nowMs: () => now * 1000, monotonicMs: () => 5000 };
      const found = createRevocations(
        { find: () => undefined, stalenessMs: () => staleness * 1000, retentionSeconds: 75 },
        clock,
      ).evaluate(
        token({ issuedAt: now - age, expiresAt: now - age + 60 }),
        { ...limits, maxExposureMs: exposure * 1000 },
        now * 1000,
      );
      expect(found.kind).toBe(Math.min(age, staleness) <= exposure ? 'clear' : 'unproven');
    }),
  );
});
