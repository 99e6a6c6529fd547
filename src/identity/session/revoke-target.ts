import type { RevocationRequest } from '../../publisher/outbox.ts';
import type { DatabaseTransaction } from '../../database/database.ts';
import type { Clock, EpochSeconds } from '../../runtime/clock.ts';
import { Fault } from '../../runtime/fault.ts';
import { normalizeUsername } from '../store/username.ts';
import type { AccountStore } from '../store/account-store.ts';
import type { Actor } from '../store/audit-store.ts';
import type { GrantSelection, GrantStore } from '../store/grant-store.ts';
import type { KeyStore } from '../store/key-store.ts';
import type { PublicationStore } from '../store/publication-store.ts';
import { sessionEvent, type Revocation, type Revoker } from './revoker.ts';

/** What an operator revokes. */
export type RevocationTarget =
  /**
   * The claim `grant_id`. A session of a browser login ends together with that login and its other sessions.
   */
  | { kind: 'session'; id: string }
  /** The claim `jti` of an access token. */
  | { kind: 'token'; id: string }
  /** An account's id or user name, or a client's id for its tokens from client_credentials. */
  | { kind: 'subject'; id: string }
  | { kind: 'client'; id: string }
  /**
   * A `kid` or a thumbprint, with all names of that key (`SigningKeyRing.namesOf`). A key is revoked
   * permanently.
   */
  | { kind: 'key'; id: string; names: readonly string[] }
  /** Every token and session of the issuer. */
  | { kind: 'everything' };

export type RevocationOrder = {
  actor: Actor;
  /** 1 to 64 characters of `a-z 0-9 _ -`. Default `operator`. */
  reason?: string | undefined;
  /**
   * Only tokens issued before this time, which must not be in the future; for `subject`, `client` and
   * `everything`.
   */
  issuedBefore?: EpochSeconds | undefined;
};

export type TargetRevocation = Revocation & {
  /** The sequence number of the revocation in the log; undefined until it is published. */
  seq: number | undefined;
};

export type RevokeTargetOptions = {
  issuer: string;
  accounts: AccountStore;
  grants: GrantStore;
  keys: KeyStore;
  publications: PublicationStore;
  revoker: Revoker;
  clock: Clock;
};

export type RevokeTarget = (target: RevocationTarget, order: RevocationOrder) => Promise<TargetRevocation>;

type Plan = {
  selection: GrantSelection;
  before?: (trx: DatabaseTransaction) => Promise<void>;
  /** The event to record in addition to those of the sessions that end. */
  event?: Omit<RevocationRequest, 'iss' | 'reason'>;
  /** Further names of a key. Each is recorded as an event of its own. */
  aliases?: readonly string[];
  /** Whether each session that ends gets an event of its own. */
  eachSession: boolean;
};

/**
 * Creates the revocation by target. It deletes the grants and records event and audit entry in one
 * transaction.
 * @throws ERR_USAGE for a time in the future; ERR_REVOCATION_INVALID for an impossible id or reason
 */
export function createRevokeTarget(options: RevokeTargetOptions): RevokeTarget {
  const { issuer, revoker, publications, clock } = options;
  return async (target, { actor, reason = 'operator', issuedBefore }) => {
    if (issuedBefore !== undefined && issuedBefore * 1000 > clock.nowMs())
      throw new Fault('ERR_USAGE', 'the time of a revocation must not be in the future');
    const plan = await planOf(target, options, issuedBefore);
    const revocation = await revoker.revoke(plan.selection, reason, {
      ...(plan.before === undefined ? {} : { before: plan.before }),
      createdBeforeMs: issuedBefore === undefined ? undefined : issuedBefore * 1000,
      events: (removed) => {
        const ids = new Set(plan.eachSession ? removed.map(({ id }) => id) : []);
        if (target.kind === 'session') ids.add(target.id);
        const sessions = [...ids].map((id) => sessionEvent(issuer, id, reason));
        if (plan.event === undefined) return sessions;
        const events = [...sessions, { ...plan.event, iss: issuer, reason }];
        for (const id of plan.aliases ?? []) events.push({ iss: issuer, kind: 'key', id, reason });
        return events;
      },
      audit: {
        actor,
        action: `revoke.${target.kind}`,
        // The account's id, even if the order gave its user name.
        target: plan.event?.id ?? ('id' in target ? target.id : issuer),
        ...(issuedBefore === undefined
          ? {}
          : { details: { issuedBefore: new Date(issuedBefore * 1000).toISOString() } }),
      },
    });
    const seq = revocation.isPublished ? await publications.seqOf(revocation.recorded) : undefined;
    return { ...revocation, seq };
  };
}

async function planOf(
  target: RevocationTarget,
  options: RevokeTargetOptions,
  issuedBefore: EpochSeconds | undefined,
): Promise<Plan> {
  const { accounts, grants, keys, clock } = options;
  // A cut-off in the past does not apply to younger tokens of the sessions that end, so each session gets an
  // event.
  const eachSession = issuedBefore !== undefined;
  const at = issuedBefore === undefined ? {} : { at: issuedBefore };
  switch (target.kind) {
    case 'session': {
      const loginHash = (await grants.find(target.id))?.loginHash;
      const selection = loginHash === undefined ? { id: target.id } : { loginHash };
      return { selection, eachSession: true };
    }
    case 'token':
      return { selection: { none: true }, event: { kind: 'token', id: target.id }, eachSession: false };
    case 'subject': {
      const id = await subjectOf(target.id, accounts);
      const before = (trx: DatabaseTransaction) => accounts.endLogins(trx, { id }, clock.nowMs());
      return { selection: { accountId: id }, before, event: { kind: 'subject', id, ...at }, eachSession };
    }
    case 'client': {
      const { id } = target;
      return { selection: { clientId: id }, event: { kind: 'client', id, ...at }, eachSession };
    }
    case 'key': {
      const { id, names } = target;
      const before = async (trx: DatabaseTransaction): Promise<void> => {
        for (const name of names) await keys.deleteIn(trx, name);
      };
      const aliases = names.filter((name) => name !== id);
      return { selection: { none: true }, before, event: { kind: 'key', id }, aliases, eachSession: false };
    }
    case 'everything': {
      const before = (trx: DatabaseTransaction) => accounts.endLogins(trx, { all: true }, clock.nowMs());
      return { selection: { all: true }, before, event: { kind: 'issuer', ...at }, eachSession };
    }
  }
}

/** The account's id for a user name. Other texts are returned unchanged. */
async function subjectOf(text: string, accounts: AccountStore): Promise<string> {
  const name = normalizeUsername(text);
  if (name === undefined || (await accounts.find(text)) !== undefined) return text;
  return (await accounts.findByName(name))?.id ?? text;
}
