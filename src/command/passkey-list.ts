import type { Passkey } from '../identity/store/passkey-store.ts';
import type { CommandReport } from './command.ts';

/** Reports an account's passkeys, one line each. */
export function passkeyList(found: readonly Passkey[]): CommandReport {
  const rows = found.map(({ id, name, isBackedUp, createdAtMs, lastUsedAtMs }) => ({
    id,
    name,
    synced: isBackedUp,
    created: new Date(createdAtMs).toISOString(),
    lastUsed: lastUsedAtMs === undefined ? undefined : new Date(lastUsedAtMs).toISOString(),
  }));
  const lines = rows.map(({ id, created, lastUsed = 'never used', synced, name }) =>
    [id, created, lastUsed, synced ? 'synced' : 'one device', name].join('  '),
  );
  return { exitCode: 0, line: lines.length === 0 ? 'no passkeys' : lines.join('\n'), json: rows };
}

export const passkeyCount = (count: number): string => `${count} ${count === 1 ? 'passkey' : 'passkeys'}`;
