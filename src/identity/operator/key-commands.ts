import { operator, withCommandContext, type CommandConfig } from './session-commands.ts';
import type { TargetRevocation } from '../session/revoke-target.ts';
import { createPublicationStore } from '../store/publication-store.ts';
import type { ListedKey } from '../key/key-schedule.ts';
import { readSigningKey } from '../key/key-material.ts';
import { keyAlgorithm, openKeyRing, type KeyConfig } from '../key/open-key-ring.ts';

export type KeyCommandConfig = CommandConfig & KeyConfig;

/** The stored signing keys, the oldest first. @throws ERR_DATABASE, ERR_SECRET_UNREADABLE */
export const listKeys = (config: KeyCommandConfig): Promise<ListedKey[]> =>
  withCommandContext(config, ({ database, clock, log }) =>
    openKeyRing(config, { database, clock, log }).list(),
  );

/**
 * Adds a signing key. A running identity publishes it within seconds, and it takes over after ten minutes,
 * when every service has loaded it.
 * @returns its id
 * @throws ERR_DATABASE, ERR_SECRET_UNREADABLE
 */
export const rotateKeys = (config: KeyCommandConfig): Promise<string> =>
  withCommandContext(config, async ({ database, audit, clock, log }) => {
    const ring = openKeyRing(config, { database, clock, log });
    await ring.refresh();
    const id = await ring.rotate();
    await audit.recordAlone({ actor: operator(), action: 'key.rotate', target: id }, clock.nowMs());
    return id;
  });

/** The result of a key import. */
export type KeyImport =
  | { kind: 'added'; id: string }
  /** There already is a key with this id, or the key was revoked, under this id or under its thumbprint. */
  | { kind: 'refused'; id: string; why: 'exists' | 'revoked' };

/**
 * Adds a private key of the operator, PEM (PKCS #8) or JWK. It takes over like a key of `rotateKeys`.
 * @param kid its id in tokens; default: the JWK's `kid`, else its thumbprint
 * @throws ERR_DATABASE, ERR_SECRET_UNREADABLE, ERR_USAGE for a key that does not fit the configured algorithm
 */
export const importKey = (config: KeyCommandConfig, text: string, kid?: string): Promise<KeyImport> =>
  withCommandContext(config, async ({ database, audit, clock, log }) => {
    const key = await readSigningKey(text, keyAlgorithm(config), kid);
    const id = key.jwk.kid;
    const publications = createPublicationStore(database);
    for (const name of new Set([id, key.thumbprint]))
      if (await publications.isKeyRevoked(config.issuer, name))
        return { kind: 'refused', id, why: 'revoked' };
    const ring = openKeyRing(config, { database, clock, log });
    await ring.refresh();
    if (!(await ring.add(key))) return { kind: 'refused', id, why: 'exists' };
    await audit.recordAlone({ actor: operator(), action: 'key.import', target: id }, clock.nowMs());
    return { kind: 'added', id };
  });

/** `isKnown` is false for a key that isn't stored in the database, such as the shared secret of HS256. */
export type KeyRevocation = TargetRevocation & { isKnown: boolean };

/**
 * Revokes a key permanently, under each of its names: tokens that it signed are refused. If it was the
 * signing key, another one takes over at once. Sessions continue with their next refresh.
 * @throws ERR_DATABASE, ERR_SECRET_UNREADABLE, ERR_REVOCATION_INVALID
 */
export const revokeKey = (config: KeyCommandConfig, id: string, reason?: string): Promise<KeyRevocation> =>
  withCommandContext(config, async ({ database, revokeTarget, clock, log }) => {
    // Read before anything is changed: with a wrong key file, the command must fail before it deletes keys.
    const ring = openKeyRing(config, { database, clock, log });
    await ring.refresh();
    const names = await ring.namesOf(id);
    const isKnown = (await ring.list()).some((key) => names.includes(key.id));
    const revocation = await revokeTarget({ kind: 'key', id, names }, { actor: operator(), reason });
    await ring.refresh();
    return { ...revocation, isKnown };
  });
