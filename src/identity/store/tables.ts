import type { Generated, Kysely } from 'kysely';
import type { NoTables } from '../../database/database.ts';

/** Times are milliseconds since 1970 by this program's clock. */
export type IdentityTables = {
  identity_accounts: {
    id: string;
    /** Normalized; see `account/username.ts`. */
    username: string;
    password_hash: string;
    created_at_ms: number;
    password_changed_at_ms: number;
    disabled_at_ms: number | null;
  };
  /** One login of one account at one client: what a person calls a session, and what a revocation names. */
  identity_grants: {
    id: string;
    account_id: string;
    client_id: string;
    payload: string;
    /** Marks the family's refresh tokens; see `session/refresh-token-id.ts`. */
    family_key: string;
    device: string;
    address: string;
    /** Hash of the uid of the browser login it was made in; null: without a browser. */
    login_hash: string | null;
    created_at_ms: number;
    last_used_at_ms: number;
    expires_at_ms: number;
  };
  /** Refresh tokens, codes and pending interactions: a hash to find one by, and a payload that only it can open. */
  identity_tokens: {
    id_hash: string;
    kind: string;
    grant_id: string | null;
    payload: string;
    consumed_at_ms: number | null;
    /** Hash of the address and device that used it. */
    consumed_by: string | null;
    /** The refresh token it was used for, sealed with itself; null: unused, or no longer handed out. */
    sealed_successor: string | null;
    /** What the row of that is found by; null: unused, or of an earlier version. */
    successor_hash: string | null;
    /** When that was handed out again. */
    repeated_at_ms: number | null;
    /** Of a device code: what a person types in. */
    user_code_hash: string | null;
    expires_at_ms: number;
  };
  /** Logins of browsers, which outlive a single client. */
  identity_sessions: {
    uid_hash: string;
    id_hash: string;
    sealed_uid: string;
    payload: string;
    account_id: string | null;
    expires_at_ms: number;
  };
  /** Public halves of passkeys (WebAuthn). */
  identity_passkeys: {
    /** A UUID: what forms, commands and the audit log call it. */
    id: string;
    /** base64url; chosen by the authenticator, unique over all accounts. */
    credential_id: string;
    account_id: string;
    /** A COSE key, base64url. */
    public_key: string;
    /** Of signatures, where the authenticator counts; else 0. */
    counter: number;
    /** JSON: how a browser reaches the authenticator. */
    transports: string;
    /** 1: may be copied to other devices of its owner; and whether it was. */
    is_backup_eligible: number;
    is_backed_up: number;
    name: string;
    created_at_ms: number;
    last_used_at_ms: number | null;
  };
  identity_keys: {
    id: string;
    purpose: 'signature' | 'cookie';
    algorithm: string;
    material: string;
    /** 1: the material is encrypted with the configured key file. */
    is_sealed: number;
    created_at_ms: number;
  };
  /** Who did what to accounts, sessions and keys. */
  identity_audit: {
    id: Generated<number>;
    at_ms: number;
    actor_kind: ActorKind;
    actor: string;
    action: string;
    target: string;
    /** Of the actor, where known. */
    address: string;
    /** JSON. */
    details: string;
  };
};

/** `operator`: at a command line; `client`: by the administration API; `person`: on the pages; `system`: by itself. */
export type ActorKind = 'operator' | 'client' | 'person' | 'system';

/** The same connection, knowing our tables. */
export const identityTables = (db: Kysely<NoTables>): Kysely<IdentityTables> =>
  db.$extendTables<IdentityTables>();
