import { createHash, createSecretKey } from 'node:crypto';
import { Fault } from '../runtime/fault.ts';
import { describeError, type Log } from '../runtime/log.ts';
import { watchSecret, type Secret } from '../runtime/secret.ts';
import { algorithms, type Algorithm } from './algorithm.ts';
import { decodeBase64url } from './compact-jws.ts';
import { createKeyRing, findKey, type KeyRing, type VerificationKey } from './key-ring.ts';
import type { KeySet } from './key-set.ts';

export type SecretKeySetOptions = {
  readonly issuer: string;
  /** Read again within 10 s of a change; what does not hold then leaves the former in place. */
  readonly secret: Secret;
  readonly encoding: 'base64url' | 'raw';
  /** The secret's name: the `kid` of its tokens, if they have one, and the id of a `key` revocation. */
  readonly name: string;
  /** HS256, HS384, HS512. */
  readonly algorithms: readonly Algorithm[];
  readonly log: Log;
  /** How often the file is looked at; default 5000. */
  readonly watchEveryMs?: number;
};

/**
 * The one key of an issuer that signs with a shared secret.
 * @throws from `start`: ERR_SECRET_UNREADABLE, ERR_CONFIG_INVALID for a secret that is too short or not encoded as said
 */
export function createSecretKeySet(options: SecretKeySetOptions): KeySet {
  const { issuer, log, secret } = options;
  let ring: KeyRing | undefined;
  let problem: string | undefined;
  let stopWatching = (): void => undefined;

  function reload(): void {
    try {
      ring = createKeyRing([readKey(options)], ring);
      problem = undefined;
      log.info('secret read again', { issuer, file: secret.source });
    } catch (thrown) {
      problem = describeError(thrown).message;
      log.error('the changed secret is not usable; the former stays', { issuer, err: thrown });
    }
  }

  return {
    find: (kid, algorithm) => (ring === undefined ? { kind: 'unavailable' } : findKey(ring, kid, algorithm)),
    vouchesFor: (key) => ring?.keys.has(key) === true,
    isUsable: () => ring !== undefined,
    refreshForUnknownKey: () => undefined,
    state: () => ({
      state: ring === undefined ? 'unavailable' : problem === undefined ? 'fresh' : 'stale',
      keys: ring?.keys.size ?? 0,
      ageSeconds: undefined,
      problem,
    }),
    start: () => {
      ring = createKeyRing([readKey(options)]);
      stopWatching = watchSecret(secret, reload, options.watchEveryMs);
      return Promise.resolve();
    },
    stop: () => stopWatching(),
  };
}

function readKey(options: SecretKeySetOptions): VerificationKey {
  const { secret, encoding, name } = options;
  const read = secret.bytes();
  const bytes = encoding === 'raw' ? read : decodeBase64url(read.toString('latin1').replace(/=+$/, ''));
  if (bytes === undefined)
    throw new Fault(
      'ERR_CONFIG_INVALID',
      `the secret in ${secret.source} is not base64url; say \`encoding: raw\` to use it as it is`,
    );
  for (const algorithm of options.algorithms) {
    const { hashBytes } = algorithms[algorithm];
    // RFC 7518 §3.2: a key of the hash's size or larger.
    if (bytes.length < hashBytes)
      throw new Fault(
        'ERR_CONFIG_INVALID',
        `the secret in ${secret.source} has ${bytes.length} bytes; ${algorithm} needs at least ${hashBytes}`,
      );
  }
  return {
    kid: name,
    keyId: name,
    algorithms: options.algorithms,
    key: createSecretKey(bytes),
    thumbprint: createHash('sha256').update(bytes).digest('base64url'),
  };
}
