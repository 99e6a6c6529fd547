import { systemClock } from '../../runtime/clock.ts';
import { createLog } from '../../runtime/log.ts';
import { operator, withCommandContext, type CommandConfig } from '../session/commands.ts';
import type { TargetRevocation } from '../session/revoke-target.ts';
import { createKeyStore } from '../store/key-store.ts';
import { keyPeriods, scheduleKeys } from './key-schedule.ts';
import { keyAlgorithm, openKeyRing, type KeyConfig } from './open-key-ring.ts';

export type KeyCommandConfig = CommandConfig & KeyConfig;

/** `signing`: in use; `next`: published, and signs later; `former`: published for what it signed. */
export type ListedKey = {
  id: string;
  algorithm: string;
  state: 'signing' | 'next' | 'former';
  createdAtMs: number;
  isEncrypted: boolean;
};

const log = createLog({ program: 'curfew', level: 'silent' });

/** The stored signing keys, the oldest first. @throws ERR_DATABASE */
export const listKeys = (config: KeyCommandConfig): Promise<ListedKey[]> =>
  withCommandContext(config, async ({ database }) => {
    const stored = (await createKeyStore(database).list()).filter(({ purpose }) => purpose === 'signature');
    const algorithm = keyAlgorithm(config);
    const periods = keyPeriods(config.keys.rotateEvery);
    const { active } = scheduleKeys(stored, algorithm, systemClock.nowMs(), periods);
    return stored.map((key) => ({
      id: key.id,
      algorithm: key.algorithm,
      state: stateOf(key, active),
      createdAtMs: key.createdAtMs,
      isEncrypted: key.isSealed,
    }));
  });

type Dated = { id: string; algorithm: string; createdAtMs: number };

function stateOf(key: Dated, active: Dated | undefined): ListedKey['state'] {
  if (key.id === active?.id) return 'signing';
  const isLater = key.algorithm === active?.algorithm && key.createdAtMs >= active.createdAtMs;
  return isLater ? 'next' : 'former';
}

/**
 * Adds a key that takes over in ten minutes, when everybody knows it. A running identity publishes it within
 * seconds.
 * @returns its id
 * @throws ERR_DATABASE, ERR_SECRET_UNREADABLE
 */
export const rotateKeys = (config: KeyCommandConfig): Promise<string> =>
  withCommandContext(config, async ({ database, audit, clock }) => {
    const ring = openKeyRing(config, { database, clock, log });
    await ring.refresh();
    const id = await ring.rotate();
    const entry = { actor: operator(), action: 'key.rotate', target: id } as const;
    await database.db.transaction().execute((trx) => audit.record(trx, entry, clock.nowMs()));
    return id;
  });

/** `isKnown` is false for a key that isn't stored here: another issuer's, or the shared secret of HS256. */
export type KeyRevocation = TargetRevocation & { isKnown: boolean };

/**
 * Revokes a key for ever: nothing it signed is accepted any more. If it was the signing one, another takes over at
 * once; sessions go on with their next refresh.
 * @throws ERR_DATABASE, ERR_SECRET_UNREADABLE, ERR_REVOCATION_INVALID
 */
export const revokeKey = (config: KeyCommandConfig, id: string, reason?: string): Promise<KeyRevocation> =>
  withCommandContext(config, async ({ database, revokeTarget, clock }) => {
    const stored = await createKeyStore(database).list();
    const isKnown = stored.some((key) => key.id === id && key.purpose === 'signature');
    // Opened before anything is changed: a wrong key file must not cost the keys.
    const ring = openKeyRing(config, { database, clock, log });
    await ring.refresh();
    const revocation = await revokeTarget({ kind: 'key', id }, { actor: operator(), reason });
    await ring.refresh();
    return { ...revocation, isKnown };
  });
