import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { Fault } from '../runtime/fault.ts';
import { algorithms, type Algorithm } from '../vocabulary/algorithms.ts';
import { isId } from './claims.ts';
import type { VerificationKey } from './key-lookup.ts';
import { isJsonObject, parseJsonObject, type JsonObject } from './strict-json.ts';

/** A JWK that is not used although it is for signatures of an accepted algorithm, and why. */
export type RefusedKey = { readonly kid: string | undefined; readonly why: string };

export type JwkSet = { readonly keys: readonly VerificationKey[]; readonly refused: readonly RefusedKey[] };

const maxKeys = 100;
const minModulusBits = 2048;
// Larger keys take tens of milliseconds for each signature, while a request waits.
const maxModulusBits = 8192;
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth'];

/**
 * Reads a JWK Set (RFC 7517 §5). Keys of unknown types, for encryption, or of other algorithms are ignored.
 * Weak or broken keys are listed as refused. A private or symmetric key makes the whole set invalid: once
 * published, it is compromised.
 * @param accepted the issuer's algorithms; a key is used for those of them that it fits
 * @throws ERR_JWKS_INVALID, also when no key is left
 */
export function parseJwkSet(text: string, accepted: readonly Algorithm[]): JwkSet {
  const parsed = parseJsonObject(text);
  if (parsed.kind === 'invalid') throw invalid(`the key set is not strict JSON: ${parsed.problem}`);
  const listed: unknown = parsed.value['keys'];
  if (!Array.isArray(listed)) throw invalid('the key set has no array `keys`');
  if (listed.length > maxKeys) throw invalid(`the key set has more than ${maxKeys} keys`);
  const keys: VerificationKey[] = [];
  const refused: RefusedKey[] = [];
  for (const jwk of listed) {
    const read = readJwk(jwk, accepted);
    if (read === undefined) continue;
    if ('why' in read) refused.push(read);
    else keys.push(read);
  }
  if (keys.length === 0) throw invalid(noKeys(listed.length, refused));
  return { keys, refused };
}

function readJwk(jwk: unknown, accepted: readonly Algorithm[]): VerificationKey | RefusedKey | undefined {
  if (!isJsonObject(jwk)) return { kid: undefined, why: 'not a JSON object' };
  const kid = jwk['kid'];
  if (kid !== undefined && !isId(kid))
    return { kid: undefined, why: '`kid` is not a text of 1 to 256 characters' };
  if (jwk['kty'] === 'oct') throw invalid(`the key set holds a symmetric key (${named(kid)})`);
  if (privateMembers.some((member) => member in jwk))
    throw invalid(`the key set holds a private key (${named(kid)}); rotate it, it is public now`);
  const fitting = accepted.filter((algorithm) => fits(jwk, algorithm));
  if (fitting.length === 0) return undefined;
  const key = importKey(jwk);
  if (key === undefined) return { kid, why: 'the key is not valid for its type' };
  const weakness = weaknessOf(key);
  if (weakness !== undefined) return { kid, why: weakness };
  const thumbprint = thumbprintOf(key);
  const names = kid === undefined ? [thumbprint] : [thumbprint, kid];
  return { kid, keyId: kid ?? thumbprint, algorithms: fitting, key, thumbprint, names };
}

// RFC 7517 §4: `kty`, `use`, `key_ops` and `alg` must all agree with the algorithm; absent ones agree with
// any.
function fits(jwk: JsonObject, algorithm: Algorithm): boolean {
  const { kty, curve } = algorithms[algorithm];
  if (jwk['kty'] !== kty || (curve !== undefined && jwk['crv'] !== curve)) return false;
  if (jwk['use'] !== undefined && jwk['use'] !== 'sig') return false;
  const operations = jwk['key_ops'];
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return false;
  return jwk['alg'] === undefined || jwk['alg'] === algorithm;
}

function importKey(jwk: JsonObject): KeyObject | undefined {
  try {
    return createPublicKey({ key: { ...jwk }, format: 'jwk' });
  } catch {
    return undefined;
  }
}

function weaknessOf(key: KeyObject): string | undefined {
  if (key.asymmetricKeyType !== 'rsa') return undefined;
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  // RFC 7518 §3.3: 2048 bits or more.
  if (modulusLength < minModulusBits)
    return `an RSA key of ${modulusLength} bits; at least ${minModulusBits}`;
  if (modulusLength > maxModulusBits) return `an RSA key of ${modulusLength} bits; at most ${maxModulusBits}`;
  if (publicExponent < 3n || publicExponent % 2n === 0n || publicExponent >= 1n << 33n)
    return 'an RSA key with an unusual public exponent';
  return undefined;
}

/** RFC 7638 §3: SHA-256 over the required members in lexical order. */
function thumbprintOf(key: KeyObject): string {
  const { kty, crv, e, n, x, y } = key.export({ format: 'jwk' });
  const required = kty === 'RSA' ? { e, kty, n } : kty === 'EC' ? { crv, kty, x, y } : { crv, kty, x };
  return createHash('sha256').update(JSON.stringify(required)).digest('base64url');
}

function noKeys(listed: number, refused: readonly RefusedKey[]): string {
  const first = refused[0];
  if (first === undefined) return `none of the ${listed} keys of the set is for the issuer's algorithms`;
  return `no usable key in the set; ${named(first.kid)}: ${first.why}`;
}

const named = (kid: unknown): string =>
  typeof kid === 'string' ? `kid ${JSON.stringify(kid.slice(0, 64))}` : 'without kid';

const invalid = (message: string): Fault => new Fault('ERR_JWKS_INVALID', message);
