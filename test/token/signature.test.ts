import {
  constants,
  createHmac,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  sign,
  type KeyObject,
} from 'node:crypto';
import { compactVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import type { Algorithm } from '../../src/vocabulary/algorithms.ts';
import { isSignedBy } from '../../src/token/signature.ts';
import { encode, testSecret } from './tokens.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const secret = createSecretKey(testSecret);

const inputOf = (algorithm: Algorithm): string =>
  `${encode(JSON.stringify({ alg: algorithm }))}.${encode('{"sub":"user-1"}')}`;

const pkcs1 = (hash: string, input: string, key = rsa.privateKey): Buffer =>
  sign(hash, Buffer.from(input), key);
const pss = (hash: string, input: string): Buffer =>
  sign(hash, Buffer.from(input), { key: rsa.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING });

const modulus = BigInt(
  `0x${Buffer.from(String(rsa.publicKey.export({ format: 'jwk' }).n), 'base64url').toString('hex')}`,
);

/** The same number modulo the key's, where it still fits into as many bytes or one more. */
function plusModulus(signature: Buffer): Buffer {
  const sum = BigInt(`0x${signature.toString('hex')}`) + modulus;
  const digits = sum.toString(16);
  return Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex');
}

/** What a signature may be turned into on its way. */
const turned: Readonly<Record<string, (signature: Buffer) => Buffer>> = {
  'as it is': (signature) => signature,
  'without its last byte': (signature) => signature.subarray(0, -1),
  'with a zero before it': (signature) => Buffer.concat([Buffer.alloc(1), signature]),
  'with a zero after it': (signature) => Buffer.concat([signature, Buffer.alloc(1)]),
  twice: (signature) => Buffer.concat([signature, signature]),
  'with one bit changed': (signature) => {
    const changed = Buffer.from(signature);
    changed.writeUInt8(changed.readUInt8(signature.length - 1) ^ 1, signature.length - 1);
    return changed;
  },
  'of no bytes': () => Buffer.alloc(0),
  'of zeros': (signature) => Buffer.alloc(signature.length),
  'of ones': (signature) => Buffer.alloc(signature.length, 0xff),
  'of one': (signature) => Buffer.concat([Buffer.alloc(signature.length - 1), Buffer.from([1])]),
  'of 6 kB': () => Buffer.alloc(6000, 0x55),
};

async function joseSays(key: KeyObject, algorithm: Algorithm, token: string): Promise<boolean> {
  return compactVerify(token, key, { algorithms: [algorithm] }).then(
    () => true,
    () => false,
  );
}

async function bothSay(key: KeyObject, algorithm: Algorithm, token: string): Promise<boolean> {
  const said = isSignedBy(key, algorithm, token);
  expect(typeof said).toBe('boolean');
  expect(await joseSays(key, algorithm, token)).toBe(said);
  return said === true;
}

const rsaAlgorithms = ['RS256', 'RS384', 'RS512'] as const;
const macs = ['HS256', 'HS384', 'HS512'] as const;

describe('a signature verified at once', () => {
  it.each(rsaAlgorithms)('of %s is good and bad where jose has it so', async (algorithm) => {
    const input = inputOf(algorithm);
    const hash = `sha${algorithm.slice(2)}`;
    const made = {
      good: pkcs1(hash, input),
      'of another hash': pkcs1(hash === 'sha256' ? 'sha512' : 'sha256', input),
      'of another text': pkcs1(hash, `${input}a`),
      'of another key': pkcs1(hash, input, otherRsa.privateKey),
      'of PSS': pss(hash, input),
      'and the modulus': plusModulus(pkcs1(hash, input)),
    };
    for (const [what, signature] of Object.entries(made))
      for (const [how, turn] of Object.entries(turned)) {
        const isGood = await bothSay(rsa.publicKey, algorithm, `${input}.${encode(turn(signature))}`);
        expect(isGood, `${what} ${how}`).toBe(what === 'good' && how === 'as it is');
      }
  });

  it.each(macs)('of %s is good and bad where jose has it so', async (algorithm) => {
    const input = inputOf(algorithm);
    const mac = (bits: string, text: string, key = secret): Buffer =>
      createHmac(`sha${bits}`, key).update(text).digest();
    const made = {
      good: mac(algorithm.slice(2), input),
      'of another hash': mac(algorithm === 'HS256' ? '512' : '256', input),
      'of another text': mac(algorithm.slice(2), `${input}a`),
      'of another secret': mac(algorithm.slice(2), input, createSecretKey(Buffer.alloc(64))),
    };
    for (const [what, signature] of Object.entries(made))
      for (const [how, turn] of Object.entries(turned)) {
        const isGood = await bothSay(secret, algorithm, `${input}.${encode(turn(signature))}`);
        expect(isGood, `${what} ${how}`).toBe(what === 'good' && how === 'as it is');
      }
  });

  it('is never a MAC made with the text of a public key', () => {
    const input = inputOf('HS256');
    const texts = [
      rsa.publicKey.export({ type: 'spki', format: 'pem' }),
      rsa.publicKey.export({ type: 'spki', format: 'der' }),
    ];
    for (const text of texts) {
      const mac = createHmac('sha256', text).update(input).digest();
      expect(() => isSignedBy(rsa.publicKey, 'HS256', `${input}.${encode(mac)}`)).toThrow(TypeError);
    }
  });

  it('is not one of RSA with a modulus that is too large: that goes to another thread', async () => {
    const n = Buffer.alloc(513, 0xab).toString('base64url');
    const large = createPublicKey({ key: { kty: 'RSA', n, e: 'AQAB' }, format: 'jwk' });
    const said = isSignedBy(large, 'RS256', `${inputOf('RS256')}.${encode(Buffer.alloc(513, 1))}`);
    expect(said).toBeInstanceOf(Promise);
    expect(await said).toBe(false);
  });

  it('is not one of RSA with an exponent that is too large', async () => {
    const options = { modulusLength: 2048, publicExponent: 0x1_0003 };
    const { publicKey, privateKey } = generateKeyPairSync('rsa', options);
    const input = inputOf('RS256');
    const said = isSignedBy(publicKey, 'RS256', `${input}.${encode(pkcs1('sha256', input, privateKey))}`);
    expect(said).toBeInstanceOf(Promise);
    expect(await said).toBe(true);
  });

  it('is not one by a key for PSS', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa-pss', { modulusLength: 2048 });
    const input = inputOf('RS256');
    const signature = sign('sha256', Buffer.from(input), privateKey);
    await expect(
      Promise.resolve(isSignedBy(publicKey, 'RS256', `${input}.${encode(signature)}`)).then(
        (isGood) => isGood,
        () => false,
      ),
    ).resolves.toBe(false);
  });
});
