import type { Generated, Kysely } from 'kysely';
import type { NoTables } from '../../database/database.ts';

/** Times are milliseconds since 1970, by the clock of the program that wrote them. */
export type IdentityTables = {
  identity_accounts: {
    id: string;
    /** Normalized; see `store/username.ts`. */
    username: string;
    password_hash: string;
    created_at_ms: number;
    password_changed_at_ms: number;
    disabled_at_ms: number | null;
  };
  /**
   * One login of one account at one client. Users see it as a session; a revocation of kind `session` names
   * it.
   */
  identity_grants: {
    id: string;
    account_id: string;
    client_id: string;
    payload: string;
    /** The key that marks the refresh tokens of this grant; see `session/refresh-token-id.ts`. */
    family_key: string;
    device: string;
    address: string;
    /** Hash of the `uid` of the browser login that it belongs to; null: no browser login. */
    login_hash: string | null;
    created_at_ms: number;
    last_used_at_ms: number;
    expires_at_ms: number;
  };
  /**
   * Refresh tokens, codes and pending interactions. Only the token itself can decrypt its payload; see
   * `sealing.ts`.
   */
  identity_tokens: {
    id_hash: string;
    kind: string;
    grant_id: string | null;
    payload: string;
    consumed_at_ms: number | null;
    /** Hash of the address and `User-Agent` that used it. */
    consumed_by: string | null;
    /**
     * The refresh token that replaced it, encrypted with this token; null: unused, or no longer returned
     * again.
     */
    sealed_successor: string | null;
    /** `id_hash` of that refresh token; null: unused, or written by an earlier version. */
    successor_hash: string | null;
    /** When that refresh token was returned again. */
    repeated_at_ms: number | null;
    /** Of a device code: the hash of the code that a person enters. */
    user_code_hash: string | null;
    expires_at_ms: number;
  };
  /** Logins of browsers. Several clients share one. */
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
    /** A UUID, used by forms, commands and the audit log. */
    id: string;
    /** base64url; chosen by the authenticator, unique over all accounts. */
    credential_id: string;
    account_id: string;
    /** A COSE key, base64url. */
    public_key: string;
    /** The authenticator's signature counter; 0 if it has none. */
    counter: number;
    /** How a browser reaches the authenticator; JSON. */
    transports: string;
    /** 1: the passkey may be copied to other devices of its owner. */
    is_backup_eligible: number;
    /** 1: it was copied. */
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
  /** Actions on accounts, sessions and keys. */
  identity_audit: {
    id: Generated<number>;
    at_ms: number;
    actor_kind: ActorKind;
    actor: string;
    action: string;
    target: string;
    /** The actor's address; empty if unknown. */
    address: string;
    /** JSON. */
    details: string;
  };
};

/**
 * `operator`: command line; `client`: administration API; `person`: identity's pages; `system`: identity
 * itself.
 */
export type ActorKind = 'operator' | 'client' | 'person' | 'system';

/** The same connection, typed with identity's tables. */
export const identityTables = (db: Kysely<NoTables>): Kysely<IdentityTables> =>
  db.$extendTables<IdentityTables>();
