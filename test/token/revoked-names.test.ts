import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RevocationKind } from '../../src/revocation-log/event.ts';
import { RevocationList } from '../../src/revocation/revocation-list.ts';
import { secretFromFile } from '../../src/runtime/secret.ts';
import { issuerRules } from '../../src/token/issuer-rules.ts';
import { parseJwkSet } from '../../src/token/jwk-set.ts';
import { createKeyRing, findKey, type KeyRing, type VerificationKey } from '../../src/token/key-lookup.ts';
import { type KeySet } from '../../src/token/key-set.ts';
import { createFixedKeySet } from './fixed-key-set.ts';
import { sharedSecretKeys } from '../../src/token/local-keys.ts';
import { temporaryDirectory } from '../temporary.ts';
import { testVerifier, trusted } from './fixtures.ts';
import { issueToken, jwkSetOf, testIssuer, testKey, testNow, testSecret, type TestKey } from './tokens.ts';

/** The same key material under another kid. */
const renamed = (key: TestKey, kid: string): TestKey => ({ ...key, kid, jwk: { ...key.jwk, kid } });

const thumbprint = ({ jwk }: TestKey): string =>
  createHash('sha256')
    .update(JSON.stringify({ e: jwk['e'], kty: jwk['kty'], n: jwk['n'] }))
    .digest('base64url');

/** A verifier and a revocation list, of one issuer whose key set the test replaces. */
function stand(...keys: readonly TestKey[]) {
  const rules = issuerRules({ issuer: testIssuer, audiences: ['orders'] });
  const ringOf = (listed: readonly TestKey[], previous?: KeyRing): KeyRing =>
    createKeyRing(parseJwkSet(jwkSetOf(...listed), rules.algorithms).keys, previous);
  let ring = ringOf(keys);
  const keySet: KeySet = {
    ...createFixedKeySet([]),
    find: (kid, algorithm) => findKey(ring, kid, algorithm),
    vouchesFor: (key) => ring.keys.has(key),
  };
  const verifier = testVerifier([{ rules, keySet }]);
  const list = new RevocationList({
    issuers: [{ issuer: testIssuer, clockToleranceSeconds: 5 }],
    maxEntries: 100,
  });
  return {
    publish: (...listed: readonly TestKey[]) => void (ring = ringOf(listed, ring)),
    revoke: (kind: RevocationKind, id: string) =>
      void list.apply({ iss: testIssuer, kind, id, at: testNow + 1 }, 0),
    /** What refuses the token: why it is not verified, or the kind of revocation that names it. */
    refusal: async (token: string): Promise<string | undefined> => {
      const verification = await verifier.verify(token);
      return verification.kind === 'rejected' ? verification.reason : list.find(verification.token)?.by;
    },
  };
}

const signed = (key: TestKey, claims = {}): string => issueToken({ now: testNow, key, claims });

describe('a token is refused because its key is revoked', () => {
  const first = testKey('RS256', 'first');
  const other = testKey('RS256', 'other');

  it('when its kid is revoked, and when its thumbprint is', async () => {
    for (const name of [first.kid, thumbprint(first)]) {
      const { revoke, refusal } = stand(first, other);
      expect(await refusal(signed(first))).toBeUndefined();
      revoke('key', name);
      expect(await refusal(signed(first))).toBe('key');
      expect(await refusal(signed(other))).toBeUndefined();
    }
  });

  it('under every other kid that the set gives the key', async () => {
    const alias = renamed(first, 'alias');
    const { revoke, refusal } = stand(first, alias, other);
    revoke('key', 'first');
    expect(await refusal(signed(alias))).toBe('key');
    expect(await refusal(signed(other))).toBeUndefined();
  });

  it('under a kid that the key gets later, even if it left the set in between', async () => {
    const { publish, revoke, refusal } = stand(first, other);
    revoke('key', 'first');
    publish(other);
    publish(renamed(first, 'later'), other);
    expect(await refusal(signed(renamed(first, 'later')))).toBe('key');
    expect(await refusal(signed(other))).toBeUndefined();
  });

  it('under a kid that the key had, when a later one is revoked', async () => {
    const { publish, revoke, refusal } = stand(first);
    publish(renamed(first, 'later'));
    revoke('key', 'later');
    publish(first);
    expect(await refusal(signed(first))).toBe('key');
  });

  it('at once where it was verified before, when the key gets a kid that is revoked', async () => {
    const { publish, revoke, refusal } = stand(first);
    const token = signed(first);
    revoke('key', 'alias');
    expect(await refusal(token)).toBeUndefined();
    publish(first, renamed(first, 'alias'));
    expect(await refusal(token)).toBe('key');
  });

  it('and so is any other key that takes over its kid', async () => {
    const { publish, revoke, refusal } = stand(first);
    revoke('key', 'first');
    publish(renamed(other, 'first'));
    expect(await refusal(signed(renamed(other, 'first')))).toBe('key');
  });

  it('but another key under its kid is not, when only its thumbprint is revoked', async () => {
    const { publish, revoke, refusal } = stand(first);
    revoke('key', thumbprint(first));
    publish(renamed(other, 'first'));
    expect(await refusal(signed(renamed(other, 'first')))).toBeUndefined();
  });

  it('where it has no kid, by the thumbprint of the key and by a kid that the key had', async () => {
    const { kid: _, ...jwk } = first.jwk;
    const bare = { ...first, jwk };
    const token = issueToken({ now: testNow, key: first, header: { kid: undefined } });
    for (const name of [first.kid, thumbprint(first)]) {
      const { publish, revoke, refusal } = stand(first);
      publish(bare);
      revoke('key', name);
      expect(await refusal(token)).toBe('key');
    }
  });
});

describe('a shared secret', () => {
  it('has its configured name, its RFC 7638 thumbprint, and each name it had while the program ran', () => {
    const file = join(temporaryDirectory(), 'secret');
    writeFileSync(file, testSecret.toString('base64url'));
    const secret = secretFromFile(file);
    const keys = (name: string) =>
      sharedSecretKeys({ secret, encoding: 'base64url', name }, ['HS256']).read();
    const [key] = createKeyRing(keys('new'), createKeyRing(keys('old'))).keys;
    const members = JSON.stringify({ k: testSecret.toString('base64url'), kty: 'oct' });
    const digest = createHash('sha256').update(members).digest('base64url');
    expect(key?.names.toSorted()).toEqual([digest, 'new', 'old'].toSorted());
  });
});

describe('the names that are kept of keys', () => {
  it('stay bounded, and those of the keys in the set are among them', () => {
    const { publicKey } = testKey();
    const key = (material: number, kid: string): VerificationKey => ({
      kid,
      keyId: kid,
      algorithms: ['RS256'],
      key: publicKey,
      thumbprint: `material-${material}`,
      names: [`material-${material}`, kid],
    });
    let ring = createKeyRing([key(0, 'k')]);
    for (let round = 1; round <= 3000; round += 1)
      ring = createKeyRing([key(round, `kid-${round}`), key(0, `k-${round}`)], ring);
    expect(ring.names.size).toBeLessThanOrEqual(1000);
    const [, constant] = ring.keys;
    expect(constant?.names.length).toBeLessThanOrEqual(101);
    expect(constant?.names).toContain('material-0');
    expect(constant?.names).toContain('k-3000');
  });
});

describe('a token that names its client', () => {
  it.each(['client_id', 'azp'])(
    'is refused when the one in %s is revoked, whatever the other claim says',
    async (claim) => {
      const claims = { client_id: 'gateway', azp: 'till', [claim]: 'stolen' };
      const { revoke, refusal } = stand(testKey());
      expect(await refusal(signed(testKey(), claims))).toBeUndefined();
      revoke('client', 'stolen');
      expect(await refusal(signed(testKey(), claims))).toBe('client');
    },
  );

  it.each([
    ['okta', 'cid'],
    ['entra', 'appid'],
    ['fusionauth', 'applicationId'],
  ] as const)('in the way of %s names it by %s too, beside the registered claims', async (preset, claim) => {
    const verifier = testVerifier([
      trusted({ preset, types: ['at+jwt'], sessionClaim: 'grant_id', audiences: ['orders'] }),
    ]);
    const token = signed(testKey(), { client_id: 'one', azp: 'two', [claim]: 'three' });
    expect(await verifier.verify(token)).toMatchObject({
      token: { clientId: 'one', clientIds: ['one', 'two', 'three'] },
    });
  });

  it('may leave out one of its claims by null, beside another that names the client', async () => {
    const { refusal } = stand(testKey());
    expect(await refusal(signed(testKey(), { client_id: 'gateway', azp: null }))).toBeUndefined();
  });

  it.each([[''], [7], [['a', 'b']], ['x'.repeat(257)]])(
    'in a way that no revocation can repeat is refused: azp %j',
    async (azp) => {
      const { refusal } = stand(testKey());
      expect(await refusal(signed(testKey(), { client_id: 'gateway', azp }))).toBe('malformed_token');
    },
  );
});
