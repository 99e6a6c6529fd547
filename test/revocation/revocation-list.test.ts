import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { revocationKinds, type RevocationEvent } from '../../src/revocation-log/event.ts';
import type { Revocable } from '../../src/revocation/revocable.ts';
import { RevocationList } from '../../src/revocation/revocation-list.ts';

const issuer = 'https://a.example';
const other = 'https://b.example';
const tolerance = 5;
const retention = 75;
/** retention + 7 s + 2 × tolerance; ms. */
const period = 92_000;
const at = 1_700_000_000;

const token = (claims: Partial<Revocable> = {}): Revocable => ({
  issuer,
  subject: 'alice',
  session: 'session-1',
  tokenId: 'token-1',
  clientIds: ['web'],
  keyNames: ['key-1'],
  issuedAt: at - 10,
  expiresAt: at + 50,
  ...claims,
});

const event = (
  kind: RevocationEvent['kind'],
  id: string,
  more: Partial<RevocationEvent> = {},
): RevocationEvent => ({
  iss: issuer,
  kind,
  id,
  at,
  reason: 'logout',
  ...more,
});

function list(maxEntries = 1000): { list: RevocationList; overflows: (readonly string[])[] } {
  const overflows: (readonly string[])[] = [];
  const made = new RevocationList({
    issuers: [issuer, other].map((name) => ({ issuer: name, clockToleranceSeconds: tolerance })),
    maxEntries,
    onOverflow: (issuers) => overflows.push(issuers),
  });
  made.retain(retention, 0);
  return { list: made, overflows };
}

describe('a token that was looked up before', () => {
  it('is looked up by each list', () => {
    const [empty, revoking] = [list().list, list().list];
    const asked = token();
    expect(empty.find(asked)).toBeUndefined();
    revoking.apply(event('session', 'session-1'), 0);
    expect(empty.find(asked)).toBeUndefined();
    expect(revoking.find(asked)).toMatchObject({ kind: 'revoked' });
    expect(empty.find(asked)).toBeUndefined();
  });

  it.each(revocationKinds)('is refused once a %s is revoked', (kind) => {
    const { list: revoked } = list();
    const asked = token();
    const ids = {
      session: 'session-1',
      token: 'token-1',
      subject: 'alice',
      client: 'web',
      issuer,
      key: 'key-1',
    };
    expect(revoked.find(asked)).toBeUndefined();
    expect(revoked.find(asked)).toBeUndefined();
    revoked.apply(event(kind, ids[kind]), 0);
    expect(revoked.find(asked)).toMatchObject({ by: kind });
  });

  it('is refused once a floor replaces entries that did not name it', () => {
    const { list: revoked } = list(2);
    const asked = token();
    for (const id of ['a', 'b', 'c']) {
      expect(revoked.find(asked)).toBeUndefined();
      revoked.apply(event('session', id), 0);
    }
    expect(revoked.find(asked)).toMatchObject({ by: 'floor' });
  });

  it('is evaluated like one that was never looked up, whatever is added and evicted meanwhile', () => {
    const ids = fc.constantFrom('a', 'b', 'c', 'd');
    const some = fc.array(ids, { maxLength: 3 });
    const names = fc.record({ session: ids, tokenId: ids, subject: ids, clientIds: some, keyNames: some });
    const step = fc.record({
      kind: fc.constantFrom(...revocationKinds),
      id: ids,
      iss: fc.constantFrom(issuer, other, 'https://elsewhere'),
      at: fc.integer({ min: at - 60, max: at + 20 }),
      waitMs: fc.nat(period / 2),
    });
    fc.assert(
      fc.property(
        fc.array(names, { minLength: 1, maxLength: 6 }),
        fc.array(step, { maxLength: 40 }),
        (all, steps) => {
          const { list: revoked } = list(4);
          const asked = all.flatMap((one) => [token(one), token({ ...one, issuer: other })]);
          let now = 0;
          for (const { kind, id, iss, at: cutOff, waitMs } of steps) {
            now += waitMs;
            revoked.tick(now);
            for (const one of asked) expect(revoked.find(one)).toEqual(revoked.find({ ...one }));
            revoked.apply(event(kind, kind === 'issuer' ? iss : id, { iss, at: cutOff }), now);
            for (const one of asked) expect(revoked.find(one)).toEqual(revoked.find({ ...one }));
          }
        },
      ),
    );
  });
});

describe('a revocation refuses', () => {
  it.each([
    ['session', 'session-1'],
    ['token', 'token-1'],
    ['subject', 'alice'],
    ['client', 'web'],
    ['issuer', issuer],
    ['key', 'key-1'],
  ] as const)('a %s: the token it names, of its issuer only, with the reason', (kind, id) => {
    const { list: revoked } = list();
    expect(revoked.apply(event(kind, id), 0)).toBe('applied');
    expect(revoked.find(token())).toEqual({ kind: 'revoked', by: kind, reason: 'logout' });
    expect(revoked.find(token({ issuer: other }))).toBeUndefined();
  });

  it.each(['session', 'token', 'key'] as const)('a %s whatever the time the token was issued at', (kind) => {
    const { list: revoked } = list();
    revoked.apply(event(kind, `${kind}-1`), 0);
    expect(revoked.find(token({ issuedAt: at + 1000 }))).toBeDefined();
  });

  it.each([
    ['subject', 'alice'],
    ['client', 'web'],
    ['issuer', issuer],
  ] as const)('a %s: tokens of the same second, not of the next', (kind, id) => {
    const { list: revoked } = list();
    revoked.apply(event(kind, id, { at: at + 0.2 }), 0);
    expect(revoked.find(token({ issuedAt: at + 0.9 }))).toBeDefined();
    expect(revoked.find(token({ issuedAt: at + 1 }))).toBeUndefined();
  });

  it('tokens up to the later of two cut-offs, in whichever order they arrive', () => {
    for (const times of [
      [at, at + 5],
      [at + 5, at],
    ]) {
      const { list: revoked } = list();
      for (const one of times) revoked.apply(event('subject', 'alice', { at: one }), 0);
      expect(revoked.find(token({ issuedAt: at + 5 }))).toBeDefined();
    }
  });

  it('tokens up to a later cut-off of the previous generation, despite an earlier one in the current', () => {
    const { list: revoked } = list();
    revoked.apply(event('subject', 'alice', { at: at + 5 }), 0);
    revoked.tick(period);
    revoked.apply(event('subject', 'alice'), period);
    expect(revoked.find(token({ issuedAt: at + 5 }))).toBeDefined();
  });

  it('nothing of an issuer whose tokens are not evaluated here', () => {
    const { list: revoked } = list();
    expect(revoked.apply(event('session', 'session-1', { iss: 'https://elsewhere' }), 0)).toBe(
      'other_issuer',
    );
    expect(revoked.size).toBe(0);
  });

  it('nothing of a token without session, id or client, but by subject, key and issuer', () => {
    const { list: revoked } = list();
    const bare = token({ session: undefined, tokenId: undefined, clientIds: [] });
    for (const kind of ['session', 'token', 'client'] as const) revoked.apply(event(kind, 'undefined'), 0);
    expect(revoked.find(bare)).toBeUndefined();
    revoked.apply(event('subject', 'alice'), 0);
    expect(revoked.find(bare)).toBeDefined();
  });
});

describe('an entry stays', () => {
  it('for at least one period and at most two', () => {
    const { list: revoked } = list();
    revoked.tick(period);
    revoked.apply(event('session', 'session-1'), period + 1);
    revoked.tick(2 * period);
    revoked.tick(2 * period + period - 1);
    expect(revoked.find(token())).toBeDefined();
    revoked.tick(3 * period);
    expect(revoked.find(token())).toBeUndefined();
    expect(revoked.size).toBe(0);
  });

  it('for one more period when it arrives again', () => {
    const { list: revoked } = list();
    revoked.apply(event('session', 'session-1'), 0);
    revoked.tick(period);
    expect(revoked.apply(event('session', 'session-1'), period)).toBe('duplicate');
    revoked.tick(2 * period);
    expect(revoked.find(token())).toBeDefined();
  });

  it('for ever if it is a revoked key; beyond 1000 keys of an issuer all its tokens are refused', () => {
    const { list: revoked } = list();
    for (let index = 0; index < 1000; index += 1) revoked.apply(event('key', `key-${index}`), 0);
    for (let count = 1; count < 5; count += 1) revoked.tick(count * period);
    expect(revoked.find(token({ keyNames: ['key-999'] }))).toMatchObject({ by: 'key' });
    expect(revoked.find(token({ keyNames: ['other'] }))).toBeUndefined();
    revoked.apply(event('key', 'one too many'), 0);
    expect(revoked.find(token({ keyNames: ['other'] }))).toMatchObject({ by: 'floor' });
    expect(revoked.find(token({ issuer: other }))).toBeUndefined();
  });

  it('for the longer retention while an epoch with a shorter one is being read', () => {
    const { list: revoked } = list();
    revoked.apply(event('session', 'session-1'), 0);
    revoked.retain(1000, 0);
    revoked.tick(2 * period);
    expect(revoked.find(token())).toBeDefined();
  });
});

describe('more revocations than fit', () => {
  it('become a floor for their issuers: newest cut-off + 5 s + tolerance, for one period', () => {
    const { list: revoked, overflows } = list(3);
    for (let index = 0; index < 4; index += 1)
      revoked.apply(event('session', `s-${index}`, { at: at + index }), 0);
    expect(overflows).toEqual([[issuer]]);
    expect(revoked.floors()).toEqual([issuer]);
    const newest = at + 2 + 5 + tolerance;
    expect(revoked.find(token({ issuedAt: newest }))).toEqual({
      kind: 'revoked',
      by: 'floor',
      reason: undefined,
    });
    expect(revoked.find(token({ issuedAt: newest + 1 }))).toBeUndefined();
    expect(revoked.find(token({ issuer: other, issuedAt: at }))).toBeUndefined();
    revoked.tick(period - 1);
    expect(revoked.find(token({ session: 's-0' }))).toBeDefined();
    revoked.tick(period);
    expect(revoked.floors()).toEqual([]);
  });

  it('leave standing keys and the previous generation as they are', () => {
    const { list: revoked } = list(3);
    revoked.apply(event('key', 'leaked'), 0);
    revoked.apply(event('session', 'old'), 0);
    revoked.tick(period);
    for (let index = 0; index < 9; index += 1) revoked.apply(event('session', `s-${index}`), period);
    expect(revoked.find(token({ keyNames: ['leaked'], issuedAt: at + 1000 }))).toMatchObject({ by: 'key' });
    expect(revoked.find(token({ session: 'old', issuedAt: at + 1000 }))).toMatchObject({ by: 'session' });
  });

  it('never make the list larger than twice its limit, nor let a revoked token through', () => {
    const kinds = fc.constantFrom(...revocationKinds.filter((kind) => kind !== 'key'));
    const events = fc.array(
      fc.record({ kind: kinds, id: fc.nat(30), at: fc.nat(20), waitMs: fc.nat(period / 4) }),
      {
        maxLength: 120,
      },
    );
    fc.assert(
      fc.property(events, (all) => {
        const { list: revoked } = list(10);
        let now = 0;
        for (const one of all) {
          now += one.waitMs;
          revoked.tick(now);
          const id = one.kind === 'issuer' ? issuer : `id-${one.id}`;
          revoked.apply(event(one.kind, id, { at: at + one.at }), now);
          expect(revoked.size).toBeLessThanOrEqual(20);
          const names = { session: id, tokenId: id, subject: id, clientIds: [id] };
          expect(revoked.find(token({ ...names, issuedAt: at }))).toBeDefined();
        }
      }),
      { numRuns: 200 },
    );
  });
});
