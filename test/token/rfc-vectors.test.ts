import { createSecretKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { decodeBase64url } from '../../src/token/compact-jws.ts';
import { parseJwkSet } from '../../src/token/jwk-set.ts';
import { isSignedBy } from '../../src/token/signature.ts';
import { everyAsymmetric, testVerifier, trusted } from './fixtures.ts';
import { rfcVectors, thumbprintVectors, type Vector } from './rfc-vectors.ts';

const keyOf = ({ algorithm, jwk }: Vector) => {
  if (jwk['k'] !== undefined) return createSecretKey(Buffer.from(jwk['k'], 'base64url'));
  const key = parseJwkSet(JSON.stringify({ keys: [jwk] }), [algorithm]).keys[0]?.key;
  if (key === undefined) throw new Error('the key of the vector was not read');
  return key;
};

const withAnotherBit = (compact: string): string => {
  const [header, payload, signature = ''] = compact.split('.');
  const bytes = Buffer.from(signature, 'base64url');
  bytes.writeUInt8(bytes.readUInt8(5) ^ 1, 5);
  return `${header}.${payload}.${bytes.toString('base64url')}`;
};

describe.each(rfcVectors)('the example of $name ($algorithm)', (vector) => {
  it('verifies', async () => {
    expect(await isSignedBy(keyOf(vector), vector.algorithm, vector.compact)).toBe(true);
  });

  it('does not verify with one bit of its signature turned', async () => {
    expect(await isSignedBy(keyOf(vector), vector.algorithm, withAnotherBit(vector.compact))).toBe(false);
  });

  it('is canonical base64url to our reader', () => {
    for (const part of vector.compact.split('.')) expect(decodeBase64url(part)).toBeDefined();
  });
});

describe('the thumbprint of RFC 7638', () => {
  it.each(thumbprintVectors)('names a key without kid as in $name', ({ jwk, thumbprint }) => {
    const [key] = parseJwkSet(JSON.stringify({ keys: [jwk] }), everyAsymmetric).keys;
    expect(key).toMatchObject({ kid: undefined, keyId: thumbprint, thumbprint });
  });
});

describe('the examples of RFC 7515 as access tokens', () => {
  it('are rejected: their issuer is not trusted', () => {
    const verifier = testVerifier([trusted({ types: ['JWT', 'none'] })]);
    const signed = rfcVectors.filter(({ compact }) => compact.includes('eyJpc3MiOiJqb2Ui'));
    expect(signed).toHaveLength(3);
    for (const { compact } of signed)
      expect(verifier.verify(compact)).toMatchObject({ reason: 'unknown_issuer' });
  });
});
