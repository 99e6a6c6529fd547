import { calculateJwkThumbprint, type JWK } from 'jose';
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../runtime/clock.ts';
import { Fault } from '../../runtime/fault.ts';
import type { Log } from '../../runtime/log.ts';
import type { SigningAlgorithm } from '../../vocabulary/algorithms.ts';
import type { KeyStore, StoredKey } from '../store/key-store.ts';
import {
  cookieAlgorithm,
  generateCookieSecret,
  generateSigningKey,
  type MaterialSealer,
  type ReadKey,
} from './key-material.ts';
import {
  describeKeys,
  scheduleKeys,
  type KeyPeriods,
  type KeySchedule,
  type ListedKey,
} from './key-schedule.ts';

/** The current keys. They contain private keys and must not leave the process. */
export type Keys = {
  /** Private JWKs, the one that signs first. */
  readonly signing: readonly JWK[];
  readonly signingKeyId: string;
  /** The first signs, all verify. */
  readonly cookieSecrets: readonly string[];
};

export type SigningKeyRing = {
  /** @throws ERR_INTERNAL before the first `refresh` */
  current(): Keys;
  /**
   * Reads the stored keys, adds a key when one is due and deletes expired ones.
   * @returns whether the keys have changed
   */
  refresh(): Promise<boolean>;
  /** Adds a signing key, which takes over when it has been published long enough. @returns its id */
  rotate(): Promise<string>;
  /**
   * Adds an operator's key, which takes over in the same way.
   * @returns false if there already is a key with this id
   */
  add(key: ReadKey): Promise<boolean>;
  /** The stored signing keys, the oldest first. */
  list(): Promise<ListedKey[]>;
  /**
   * All names of a key: the given one first, then its thumbprint and the id of every stored key with the same
   * material.
   * @throws ERR_SECRET_UNREADABLE
   */
  namesOf(name: string): Promise<readonly string[]>;
};

export type SigningKeyRingOptions = {
  store: KeyStore;
  sealer: MaterialSealer;
  algorithm: SigningAlgorithm;
  periods: KeyPeriods;
  clock: Clock;
  log: Log;
};

export function createSigningKeyRing(options: SigningKeyRingOptions): SigningKeyRing {
  const { store, log } = options;
  let keys: Keys | undefined;
  let currentIds = '';

  async function refresh(): Promise<boolean> {
    await addIfDue(options, 'signature', options.algorithm, () => signingMaterial(options.algorithm));
    await addIfDue(options, 'cookie', cookieAlgorithm, cookieMaterial);
    const stored = await store.list();
    const signing = scheduleOf(options, stored, 'signature', options.algorithm);
    const cookie = scheduleOf(options, stored, 'cookie', cookieAlgorithm);
    for (const { id, purpose } of [...signing.expired, ...cookie.expired]) {
      await store.delete(id);
      log.info('key removed', { keyId: id, kind: purpose });
    }
    const published = [...signing.published, ...cookie.published];
    await sealUnencrypted(options, published);
    const ids = published.map(({ id }) => id).join(' ');
    if (ids === currentIds) return false;
    keys = openKeys(options.sealer, signing, cookie);
    currentIds = ids;
    log.info('keys in use', { keyId: keys.signingKeyId, count: signing.published.length });
    return true;
  }

  return {
    current: () => {
      if (keys === undefined) throw new Fault('ERR_INTERNAL', 'the keys are not loaded yet');
      return keys;
    },
    refresh,
    rotate: async () => {
      const { id, material } = await signingMaterial(options.algorithm);
      await addNow(options, id, material);
      return id;
    },
    add: async ({ jwk }) => {
      if ((await store.list()).some(({ id }) => id === jwk.kid)) return false;
      await addNow(options, jwk.kid, JSON.stringify(jwk));
      return true;
    },
    list: async () => {
      const stored = (await store.list()).filter(({ purpose }) => purpose === 'signature');
      return describeKeys(stored, scheduleOf(options, stored, 'signature', options.algorithm).active);
    },
    namesOf: (name) => namesOf(name, options),
  };
}

async function namesOf(name: string, { store, sealer }: SigningKeyRingOptions): Promise<readonly string[]> {
  const names = new Set([name]);
  const stored = (await store.list()).filter(({ purpose }) => purpose === 'signature');
  const keys = await Promise.all(
    stored.map(async (key) => ({
      id: key.id,
      thumbprint: await calculateJwkThumbprint(JSON.parse(sealer.open(key)) as JWK),
    })),
  );
  for (const { id, thumbprint } of keys) if (id === name) names.add(thumbprint);
  for (const { id, thumbprint } of keys) if (names.has(thumbprint)) names.add(id);
  return [...names];
}

function scheduleOf(
  { clock, periods }: SigningKeyRingOptions,
  stored: readonly StoredKey[],
  purpose: StoredKey['purpose'],
  algorithm: string,
): KeySchedule {
  const ofPurpose = stored.filter((key) => key.purpose === purpose);
  return scheduleKeys(ofPurpose, algorithm, clock.nowMs(), periods);
}

type Material = { id: string; material: string };

async function addIfDue(
  options: SigningKeyRingOptions,
  purpose: StoredKey['purpose'],
  algorithm: string,
  generate: () => Material | Promise<Material>,
): Promise<void> {
  const { store, periods, log } = options;
  if (!scheduleOf(options, await store.list(), purpose, algorithm).isDue) return;
  const key = storedKey(options, purpose, algorithm, await generate());
  const isAdded = await store.addUnlessNewer(key, key.createdAtMs - periods.rotateEveryMs);
  if (isAdded) log.info('key added', { keyId: key.id, kind: purpose });
}

async function addNow(options: SigningKeyRingOptions, id: string, material: string): Promise<void> {
  const key = storedKey(options, 'signature', options.algorithm, { id, material });
  await options.store.addUnlessNewer(key, key.createdAtMs);
  options.log.info('key added', { keyId: id, kind: key.purpose });
}

function storedKey(
  { sealer, clock }: SigningKeyRingOptions,
  purpose: StoredKey['purpose'],
  algorithm: string,
  { id, material }: Material,
): StoredKey {
  const isSealed = sealer.isSealing;
  return {
    id,
    purpose,
    algorithm,
    material: sealer.seal(id, material),
    isSealed,
    createdAtMs: clock.nowMs(),
  };
}

const cookieMaterial = (): Material => ({ id: randomUUID(), material: generateCookieSecret() });

async function signingMaterial(algorithm: SigningAlgorithm): Promise<Material> {
  const jwk = await generateSigningKey(algorithm);
  return { id: jwk.kid, material: JSON.stringify(jwk) };
}

/** Encrypts keys that were stored before a key file was configured. */
async function sealUnencrypted(
  { store, sealer }: SigningKeyRingOptions,
  stored: readonly StoredKey[],
): Promise<void> {
  if (!sealer.isSealing) return;
  for (const { id, material, isSealed } of stored)
    if (!isSealed) await store.seal(id, sealer.seal(id, material));
}

function openKeys(sealer: MaterialSealer, signing: KeySchedule, cookie: KeySchedule): Keys {
  if (signing.active === undefined) throw new Fault('ERR_INTERNAL', 'no signing key');
  return {
    signing: signing.published.map((key) => JSON.parse(sealer.open(key)) as JWK),
    signingKeyId: signing.active.id,
    cookieSecrets: cookie.published.map((key) => sealer.open(key)),
  };
}
