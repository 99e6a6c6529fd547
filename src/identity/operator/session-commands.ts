import { hostname, userInfo } from 'node:os';
import { createOutbox, outboxMigrations, type RevocationRequest } from '../../publisher/outbox.ts';
import { revokeForeign, type ForeignRevocation } from '../../receivers/operator-commands.ts';
import { receiverMigrations } from '../../receivers/receivers.ts';
import { migrate, openDatabase, type Database, type DatabaseOptions } from '../../database/database.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { createLog, type Log } from '../../runtime/log.ts';
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

/** The part of identity's configuration that commands need. Durations in ms. */
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
  log: Log;
};

/** How long a command waits for a running identity to publish its revocations. */
const publishWaitMs = 5000;

/**
 * Runs a command on identity's database. Identity need not be running: recorded revocations are published as
 * soon as one is.
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
  // A command reports to its caller only.
  const log = createLog({ program: 'curfew', level: 'silent' });
  const grants = createGrantStore(database);
  const audit = createAuditStore(database);
  const revoker = createRevoker({
    grants,
    audit,
    outbox: createOutbox({ database, issuers: [{ issuer, clock: 'own' }], clockToleranceMs }),
    issuer,
    clock,
    metrics: undefined,
    log,
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
  return { database, revoker, revokeTarget, audit, clock, log };
}

/** The actor for the audit log: the login name on this machine that runs the command. */
export function operator(): Actor {
  try {
    return { kind: 'operator', id: `${userInfo().username}@${hostname()}` };
  } catch {
    // In a container, the user may have no name.
    return { kind: 'operator', id: `uid ${process.getuid?.() ?? '?'}@${hostname()}` };
  }
}

/**
 * Revokes for an operator; the default actor is the login name that runs this process. For keys see
 * `revokeKey`, which also replaces them.
 * @throws ERR_DATABASE, ERR_USAGE for a time in the future, ERR_REVOCATION_INVALID for an impossible id or
 * reason
 */
export const revoke = (
  config: CommandConfig,
  target: Exclude<RevocationTarget, { kind: 'key' }>,
  order: Partial<RevocationOrder> = {},
): Promise<TargetRevocation> =>
  withCommandContext(config, ({ revokeTarget }) => revokeTarget(target, { actor: operator(), ...order }));

export type ForeignRevocationConfig = CommandConfig & {
  readonly foreignIssuers: readonly { readonly issuer: string }[];
};

/**
 * Revokes tokens of another issuer whose log identity owns, and records it in the audit log.
 * @throws ERR_DATABASE, ERR_REVOCATION_INVALID for an unknown issuer, an impossible id or reason
 */
export function revokeOfForeignIssuer(
  config: ForeignRevocationConfig,
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

/** Selects entries of the audit log: by user name, by client, from a time on. */
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
