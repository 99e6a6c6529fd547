import { hostname, userInfo } from 'node:os';
import { createOutbox, outboxMigrations, type RevocationRequest } from '../../publisher/outbox.ts';
import { revokeForeign, type ForeignRevocation } from '../../receivers/operator-commands.ts';
import { receiverMigrations } from '../../receivers/receivers.ts';
import { migrate, openDatabase, type Database, type DatabaseOptions } from '../../database/database.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { createLog } from '../../runtime/log.ts';
import { namedAccount } from '../account/named-account.ts';
import { createAccountStore } from '../store/account-store.ts';
import {
  createAuditStore,
  type Actor,
  type AuditEntry,
  type AuditStore,
  type StoredAuditEntry,
} from '../store/audit-store.ts';
import { createGrantStore } from '../store/grant-store.ts';
import { createKeyStore } from '../store/key-store.ts';
import { identityMigrations } from '../store/migrations.ts';
import { createPublicationStore } from '../store/publication-store.ts';
import {
  createRevokeTarget,
  type RevocationOrder,
  type RevocationTarget,
  type RevokeTarget,
  type TargetRevocation,
} from '../session/revoke-target.ts';
import { createRevoker, type Revoker } from '../session/revoker.ts';

/** What a command needs of identity's configuration. Durations in ms. */
export type CommandConfig = {
  readonly issuer: string;
  readonly database: DatabaseOptions;
  readonly revocation: { readonly clockTolerance: number };
};

export type CommandContext = {
  database: Database;
  revoker: Revoker;
  revokeTarget: RevokeTarget;
  audit: AuditStore;
  clock: Clock;
};

/** How long a command waits for a running identity to publish what it recorded. */
const publishWaitMs = 5000;

/**
 * Works on identity's database, beside a running identity or without one: what is recorded is published by the
 * leader, at once or when there is one.
 * @throws ERR_DATABASE
 */
export async function withCommandContext<Outcome>(
  config: CommandConfig,
  work: (context: CommandContext) => Promise<Outcome>,
): Promise<Outcome> {
  const database = openDatabase(config.database);
  try {
    await migrate(database, [identityMigrations, outboxMigrations, receiverMigrations]);
    return await work(contextOf(config, database));
  } finally {
    await database.close();
  }
}

function contextOf({ issuer, revocation }: CommandConfig, database: Database): CommandContext {
  const clockToleranceMs = revocation.clockTolerance;
  const clock = systemClock;
  const grants = createGrantStore(database);
  const audit = createAuditStore(database);
  const revoker = createRevoker({
    grants,
    audit,
    outbox: createOutbox({ database, issuers: [{ issuer, clock: 'own' }], clockToleranceMs }),
    issuer,
    clock,
    metrics: undefined,
    // A command tells its caller, and nobody else.
    log: createLog({ program: 'curfew', level: 'silent' }),
    publishWaitMs,
  });
  const revokeTarget = createRevokeTarget({
    issuer,
    accounts: createAccountStore(database),
    grants,
    keys: createKeyStore(database),
    publications: createPublicationStore(database),
    revoker,
    clock,
  });
  return { database, revoker, revokeTarget, audit, clock };
}

/** Who runs this command: a login of this machine. */
export function operator(): Actor {
  try {
    return { kind: 'operator', id: `${userInfo().username}@${hostname()}` };
  } catch {
    // A container's user need not have a name.
    return { kind: 'operator', id: `uid ${process.getuid?.() ?? '?'}@${hostname()}` };
  }
}

/**
 * Revokes for an operator, by default in the name of who runs this process. Keys have a command of their own,
 * `revokeKey`, which also replaces them.
 * @throws ERR_DATABASE, ERR_USAGE for a time in the future, ERR_REVOCATION_INVALID for an impossible id or reason
 */
export const revoke = (
  config: CommandConfig,
  target: Exclude<RevocationTarget, { kind: 'key' }>,
  order: Partial<RevocationOrder> = {},
): Promise<TargetRevocation> =>
  withCommandContext(config, ({ revokeTarget }) => revokeTarget(target, { actor: operator(), ...order }));

export type OthersCommandConfig = CommandConfig & {
  readonly foreignIssuers: readonly { readonly issuer: string }[];
};

/**
 * Revokes tokens of an issuer of others, whose log identity owns, and notes it.
 * @throws ERR_DATABASE, ERR_REVOCATION_INVALID for an unknown issuer, an impossible id or reason
 */
export function revokeOfOthers(
  config: OthersCommandConfig,
  request: RevocationRequest,
): Promise<ForeignRevocation> {
  const { iss: issuer, kind, id, at, reason } = request;
  const entry: AuditEntry = {
    actor: operator(),
    action: kind === 'issuer' ? 'revoke.everything' : `revoke.${kind}`,
    target: id ?? issuer,
    details: {
      issuer,
      ...(reason === undefined ? {} : { reason }),
      ...(at === undefined ? {} : { issuedBefore: new Date(at * 1000).toISOString() }),
    },
  };
  return revokeForeign({ ...config, issuers: config.foreignIssuers }, request, {
    migrations: [identityMigrations],
    run: (trx, database) => createAuditStore(database).record(trx, entry, systemClock.nowMs()),
  });
}

/** Which entries of the audit log: of an account by its name, of a client, from a time on. */
export type AuditFilter = {
  user?: string | undefined;
  client?: string | undefined;
  sinceMs?: number | undefined;
};

/**
 * The newest entries of the audit log first.
 * @param limit 1 to 1000
 * @returns none for an unknown user
 * @throws ERR_DATABASE
 */
export const listAudit = (
  config: CommandConfig,
  limit: number,
  { user, client, sinceMs }: AuditFilter = {},
): Promise<StoredAuditEntry[]> =>
  withCommandContext(config, async ({ database, audit }) => {
    const account = user === undefined ? undefined : await namedAccount(createAccountStore(database), user);
    if (user !== undefined && account === undefined) return [];
    return await audit.list({ accountId: account?.id, clientId: client, sinceMs, limit });
  });
