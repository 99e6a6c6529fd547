import type { Database } from '../../database/database.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { secretFromFile } from '../../runtime/secret.ts';
import { createKeyStore } from '../store/key-store.ts';
import type { SigningAlgorithm } from '../../vocabulary/algorithms.ts';
import { createMaterialSealer } from './key-material.ts';
import { createSigningKeyRing, type SigningKeyRing } from './key-ring.ts';
import { keyPeriods } from './key-schedule.ts';

/** The part of identity's configuration that its keys depend on. Durations in ms. */
export type KeyConfig = {
  readonly tokens: { readonly algorithm: SigningAlgorithm | 'HS256' };
  readonly keys: {
    readonly rotateEvery: number;
    readonly encryptionKey?: { readonly file: string } | undefined;
  };
};

/** The algorithm of ID tokens. Not HS256: a client could issue ID tokens with the shared secret. */
export const keyAlgorithm = ({ tokens }: KeyConfig): SigningAlgorithm =>
  tokens.algorithm === 'HS256' ? 'RS256' : tokens.algorithm;

/** Creates the configured key ring. @throws ERR_SECRET_UNREADABLE */
export function openKeyRing(
  config: KeyConfig,
  dependencies: { database: Database; clock: Clock; log: Log },
): SigningKeyRing {
  const { rotateEvery, encryptionKey } = config.keys;
  const { database, clock, log } = dependencies;
  return createSigningKeyRing({
    store: createKeyStore(database),
    sealer: createMaterialSealer(
      encryptionKey === undefined ? undefined : secretFromFile(encryptionKey.file),
    ),
    algorithm: keyAlgorithm(config),
    periods: keyPeriods(rotateEvery),
    clock,
    log,
  });
}
