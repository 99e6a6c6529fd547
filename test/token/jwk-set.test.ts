import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Algorithm } from '../../src/vocabulary/algorithms.ts';
import { parseJwkSet } from '../../src/token/jwk-set.ts';
import { Fault } from '../../src/runtime/fault.ts';
import { everyAsymmetric } from './fixtures.ts';
import { testKey, testSecret } from './tokens.ts';

const setOf = (...keys: readonly unknown[]): string => JSON.stringify({ keys });
const read = (...keys: readonly unknown[]) => parseJwkSet(setOf(...keys), everyAsymmetric);
const { jwk } = testKey();
const without = (member: string): Record<string, unknown> => {
  const { [member]: _, ...rest } = jwk;
  return rest;
};
const rsaOf = (bits: number, publicExponent = 65_537): Record<string, unknown> => ({
  ...generateKeyPairSync('rsa', { modulusLength: bits, publicExponent }).publicKey.export({ format: 'jwk' }),
  kid: `rsa-${bits}`,
});

function faultOf(text: string, accepted: readonly Algorithm[] = everyAsymmetric): string {
  try {
    parseJwkSet(text, accepted);
    return 'none';
  } catch (thrown) {
    return thrown instanceof Fault ? `${thrown.code}: ${thrown.message}` : 'no fault';
  }
}

describe('a key of a set', () => {
  it.each(everyAsymmetric)('serves %s when its alg says so, and nothing else', (algorithm) => {
    expect(read(testKey(algorithm).jwk).keys[0]).toMatchObject({
      kid: `key-${algorithm}`,
      keyId: `key-${algorithm}`,
      algorithms: [algorithm],
    });
  });

  it('without alg serves those algorithms of the issuer that fit its type', () => {
    expect(read(without('alg')).keys[0]?.algorithms).toEqual(
      everyAsymmetric.filter((algorithm) => /^[RP]S/.test(algorithm)),
    );
    const { alg: _, ...p384 } = testKey('ES384').jwk;
    expect(read(p384).keys[0]?.algorithms).toEqual(['ES384']);
  });

  it.each([
    ['another alg', { ...jwk, alg: 'RSA-OAEP' }],
    ['an alg of another type', { ...jwk, alg: 'ES256' }],
    ['use: enc', { ...jwk, use: 'enc' }],
    ['key_ops without verify', { ...jwk, key_ops: ['encrypt'] }],
    ['key_ops that are no list', { ...jwk, key_ops: 'verify' }],
    ['an unknown type', { ...jwk, kty: 'PQC' }],
    ['no type', { ...jwk, kty: undefined }],
    ['an unknown curve', { ...testKey('ES256').jwk, crv: 'secp256k1' }],
    ['a curve of another algorithm', { ...testKey('ES256').jwk, crv: 'P-384' }],
    ['a curve for key agreement', { ...testKey('EdDSA').jwk, crv: 'X25519' }],
  ])('is passed over with %s', (_, other) => {
    const set = read(other, testKey('ES512').jwk);
    expect(set.keys.map(({ kid }) => kid)).toEqual(['key-ES512']);
    expect(set.refused).toEqual([]);
  });

  it.each([
    ['a modulus below 2048 bits', rsaOf(1024), 'an RSA key of 1024 bits; at least 2048'],
    ['a modulus of 0', { ...jwk, n: 'AA' }, undefined],
    ['no modulus', without('n'), 'the key is not valid for its type'],
    [
      'a point off the curve',
      { ...testKey('ES256').jwk, y: testKey('ES256').jwk['x'] },
      'the key is not valid for its type',
    ],
    [
      'a public key that is too short',
      { ...testKey('EdDSA').jwk, x: 'AAAA' },
      'the key is not valid for its type',
    ],
    ['a public exponent of 1', { ...jwk, e: 'AQ' }, undefined],
    ['an even public exponent', { ...jwk, e: 'BA' }, undefined],
    ['a kid that is no text', { ...jwk, kid: 7 }, '`kid` is not a text of 1 to 256 characters'],
    [
      'a kid that is too long',
      { ...jwk, kid: 'k'.repeat(257) },
      '`kid` is not a text of 1 to 256 characters',
    ],
    ['no members at all', 'RS256', 'not a JSON object'],
  ])('is not used, and named, with %s', (_, broken, why) => {
    const set = read(broken, testKey('ES512').jwk);
    expect(set.keys.map(({ kid }) => kid)).toEqual(['key-ES512']);
    expect(set.refused).toHaveLength(1);
    expect(set.refused[0]?.why).toContain(why ?? 'RSA');
  });

  it('may have 3 as its public exponent, and up to 8192 bits', () => {
    expect(read(rsaOf(2048, 3)).keys).toHaveLength(1);
  });

  it('is known by its thumbprint when it has no kid', () => {
    const [key] = read(without('kid')).keys;
    expect(key?.kid).toBeUndefined();
    expect(key?.keyId).toMatch(/^[\w-]{43}$/);
  });
});

describe('a key set', () => {
  it.each([
    [
      'a private RSA key',
      { ...testKey().privateKey.export({ format: 'jwk' }), kid: 'leaked' },
      'private key (kid "leaked")',
    ],
    ['a private EC key', testKey('ES256').privateKey.export({ format: 'jwk' }), 'private key (without kid)'],
    ['a private Ed25519 key', testKey('EdDSA').privateKey.export({ format: 'jwk' }), 'private key'],
    [
      'a private key for encryption',
      { ...testKey().privateKey.export({ format: 'jwk' }), use: 'enc' },
      'private key',
    ],
    [
      'a symmetric key',
      { kty: 'oct', k: testSecret.toString('base64url'), kid: 's' },
      'symmetric key (kid "s")',
    ],
  ])('with %s is refused whole', (_, key, message) => {
    expect(faultOf(setOf(testKey('ES256').jwk, key))).toContain(message);
  });

  it.each([
    ['text', 'hello'],
    ['no keys', '{}'],
    ['keys that are no list', '{"keys":{}}'],
    ['a member twice', `{"keys":[],"keys":[${JSON.stringify(jwk)}]}`],
    ['an empty list', '{"keys":[]}'],
    ['only keys of other uses', setOf({ ...jwk, use: 'enc' })],
    ['only a weak key', setOf(rsaOf(1024))],
    ['more than 100 keys', setOf(...Array.from({ length: 101 }, () => jwk))],
  ])('of %s is invalid', (_, text) => {
    expect(faultOf(text)).toMatch(/^ERR_JWKS_INVALID: /);
  });

  it('that holds nothing usable says why', () => {
    expect(faultOf(setOf(rsaOf(1024)))).toContain('kid "rsa-1024": an RSA key of 1024 bits; at least 2048');
    expect(faultOf(setOf(jwk), ['ES256'])).toContain('none of the 1 keys');
  });

  it('never names key material in its message', () => {
    const secret = testKey().privateKey.export({ format: 'jwk' });
    expect(faultOf(setOf(secret))).not.toContain(String(secret.d).slice(0, 16));
  });

  it('of any kind is read or refused, never more', () => {
    const members = fc.dictionary(
      fc.constantFrom('kty', 'kid', 'use', 'alg', 'crv', 'x', 'y', 'n', 'e', 'd', 'k', 'key_ops'),
      fc.oneof(
        fc.jsonValue(),
        fc.constantFrom('RSA', 'EC', 'OKP', 'P-256', 'Ed25519', 'RS256', 'AQAB', 'sig'),
      ),
    );
    const property = fc.property(fc.array(members, { maxLength: 4 }), (keys) => {
      const outcome = faultOf(setOf(...keys));
      return outcome === 'none' || outcome.startsWith('ERR_JWKS_INVALID');
    });
    expect(() => fc.assert(property, { numRuns: 500 })).not.toThrow();
  });
});
