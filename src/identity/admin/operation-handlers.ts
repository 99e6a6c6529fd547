import type { InferOutput } from 'valibot';
import type { Clock } from '../../runtime/clock.ts';
import { namedAccount } from '../account/named-account.ts';
import type { AdminScope } from '../../vocabulary/admin-scopes.ts';
import type { SigningKeyRing } from '../key/key-ring.ts';
import type { RevocationTarget, RevokeTarget } from '../session/revoke-target.ts';
import type { AccountStore } from '../store/account-store.ts';
import type { Actor, AuditStore } from '../store/audit-store.ts';
import type { GrantFilter, GrantStore } from '../store/grant-store.ts';
import type * as messages from './messages.ts';
import { scopeOf, type OperationName } from './operations.ts';
import { refusedScope, type ApiRefusal } from './refusal.ts';

/** What the operations need. */
export type AdminWork = {
  accounts: AccountStore;
  grants: GrantStore;
  audit: AuditStore;
  revokeTarget: RevokeTarget;
  keyRing: SigningKeyRing;
  /** Loads changed keys in this process. Other replicas load them within seconds. */
  refreshKeys(): Promise<void>;
  logName: string;
  clock: Clock;
};

/** An authorized request with its validated input. */
export type AuthorizedRequest = { actor: Actor; mayDo(scope: AdminScope): boolean; input: unknown };

export type OperationHandler = (request: AuthorizedRequest) => Promise<{ answer: unknown } | ApiRefusal>;

type Read<Name extends keyof typeof messages> = InferOutput<(typeof messages)[Name]>;

const isoTime = (ms: number): string => new Date(ms).toISOString();

export function createOperationHandlers(work: AdminWork): Record<OperationName, OperationHandler> {
  const { audit, keyRing, refreshKeys, clock } = work;
  return {
    listSessions: async ({ input }) => ({
      answer: await listSessions(input as Read<'sessionsQuery'>, work),
    }),
    revoke: async ({ actor, mayDo, input }) => {
      const body = input as Read<'revocationBody'>;
      const scope = scopeOf(body.kind);
      if (!mayDo(scope)) return refusedScope([scope]);
      return { answer: await revoke(actor, body, work) };
    },
    listKeys: async () => {
      const keys = await keyRing.list();
      return {
        answer: {
          keys: keys.map(({ id, algorithm, state, createdAtMs, isEncrypted }) => ({
            id,
            algorithm,
            state,
            createdAt: isoTime(createdAtMs),
            encrypted: isEncrypted,
          })),
        } satisfies Read<'keysAnswer'>,
      };
    },
    rotateKeys: async ({ actor }) => {
      const id = await keyRing.rotate();
      await audit.recordAlone({ actor, action: 'key.rotate', target: id }, clock.nowMs());
      await refreshKeys();
      return { answer: { id } satisfies Read<'newKeyAnswer'> };
    },
    listAudit: async ({ input }) => ({ answer: await listAudit(input as Read<'auditQuery'>, work) }),
  };
}

async function listAudit(
  { user, client, since, before, limit }: Read<'auditQuery'>,
  { accounts, audit }: AdminWork,
): Promise<Read<'auditAnswer'>> {
  const accountId = user === undefined ? undefined : (await namedAccount(accounts, user))?.id;
  if (user !== undefined && accountId === undefined) return { entries: [] };
  const sinceMs = since === undefined ? undefined : Date.parse(since);
  const found = await audit.list({ accountId, clientId: client, sinceMs, before, limit });
  const entries = found.map(({ id, atMs, actor, action, target, details }) => ({
    id,
    at: isoTime(atMs),
    actor: { kind: actor.kind, id: actor.id, address: actor.address ?? '' },
    action,
    target,
    details,
  }));
  return { entries, next: entries.length === limit ? entries.at(-1)?.id : undefined };
}

async function listSessions(
  { user, subject, client, limit, offset }: Read<'sessionsQuery'>,
  { accounts, grants }: AdminWork,
): Promise<Read<'sessionsAnswer'>> {
  const named = user === undefined ? undefined : (await namedAccount(accounts, user))?.id;
  if (user !== undefined && (named === undefined || (subject ?? named) !== named)) return { sessions: [] };
  const accountId = named ?? subject;
  const filter: GrantFilter = {
    ...(accountId === undefined ? {} : { accountId }),
    ...(client === undefined ? {} : { clientId: client }),
  };
  const found = await grants.list(filter, { limit, offset });
  const names = await accounts.namesOf([...new Set(found.map((grant) => grant.accountId))]);
  const sessions = found.map((grant) => ({
    id: grant.id,
    subject: grant.accountId,
    username: names.get(grant.accountId) ?? '',
    client: grant.clientId,
    device: grant.device,
    address: grant.address,
    createdAt: isoTime(grant.createdAtMs),
    lastUsedAt: isoTime(grant.lastUsedAtMs),
    expiresAt: isoTime(grant.expiresAtMs),
  }));
  return { sessions, next: sessions.length === limit ? offset + limit : undefined };
}

async function revoke(
  actor: Actor,
  { kind, id, issuedBefore, reason }: Read<'revocationBody'>,
  { revokeTarget, keyRing, refreshKeys, logName }: AdminWork,
): Promise<Read<'revocationAnswer'>> {
  const names = kind === 'key' && id !== undefined ? { names: await keyRing.namesOf(id) } : {};
  const target = (kind === 'everything' ? { kind } : { kind, id, ...names }) as RevocationTarget;
  const revocation = await revokeTarget(target, {
    actor,
    reason,
    issuedBefore: issuedBefore === undefined ? undefined : Date.parse(issuedBefore) / 1000,
  });
  // If it was the signing key, another one must take over at once.
  if (kind === 'key') await refreshKeys();
  const { seq, isPublished, removed } = revocation;
  return { log: logName, seq, published: isPublished, sessionsEnded: removed.length };
}
