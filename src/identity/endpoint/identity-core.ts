import { createResources, type AccessTokenSigning, type Resources } from '../grant/resources.ts';
import { createIssuedTokenVerifier, type IssuedTokenVerifier } from '../session/issued-token-verifier.ts';
import { createRevokeTarget, type RevokeTarget } from '../session/revoke-target.ts';
import { createRevoker, type Revoker, type RevokerOptions } from '../session/revoker.ts';
import { createAccountStore, type AccountStore } from '../store/account-store.ts';
import { createAuditStore, type AuditStore } from '../store/audit-store.ts';
import { createGrantStore, type GrantStore } from '../store/grant-store.ts';
import { createKeyStore, type KeyStore } from '../store/key-store.ts';
import { createPublicationStore } from '../store/publication-store.ts';
import { createSessionStore, type SessionStore } from '../store/session-store.ts';
import { createTokenStore, type TokenStore } from '../store/token-store.ts';
import { createUseRecovery, type UseRecovery } from '../store/use-recovery.ts';
import type { OpenIdServiceOptions } from './openid-service-options.ts';

/** What all endpoints share: the stores, and the rules for sessions and tokens. */
export type IdentityCore = {
  accounts: AccountStore;
  sessions: SessionStore;
  grants: GrantStore;
  tokens: TokenStore;
  recovery: UseRecovery;
  keys: KeyStore;
  audit: AuditStore;
  revoker: Revoker;
  revokeTarget: RevokeTarget;
  issuedTokenVerifier: IssuedTokenVerifier;
  /** For tokens of the administration API. */
  adminTokenVerifier: IssuedTokenVerifier;
  resources: Resources;
};

export function createIdentityCore(
  options: OpenIdServiceOptions,
  { ended }: Required<Pick<RevokerOptions, 'ended'>>,
): IdentityCore {
  const { database, outbox, issuer, clock, log, metrics, sharedKey } = options;
  const accounts = createAccountStore(database);
  const grants = createGrantStore(database);
  const tokens = createTokenStore(database);
  const keys = createKeyStore(database);
  const audit = createAuditStore(database);
  const publications = createPublicationStore(database);
  const revoker = createRevoker({ grants, audit, outbox, issuer, clock, metrics, log, ended });
  const ownKeys = { issuer, keys: () => options.keyRing.current(), publications, clock };
  return {
    accounts,
    sessions: createSessionStore(database),
    grants,
    tokens,
    recovery: createUseRecovery({ tokens, log }),
    keys,
    audit,
    revoker,
    revokeTarget: createRevokeTarget({ issuer, accounts, grants, keys, publications, revoker, clock }),
    issuedTokenVerifier: createIssuedTokenVerifier({
      ...ownKeys,
      sharedKey,
      algorithm: sharedKey === undefined ? options.idTokenAlgorithm : 'HS256',
    }),
    // Never with the shared secret: every service has it and could issue a token for the administration API.
    adminTokenVerifier: createIssuedTokenVerifier({
      ...ownKeys,
      sharedKey: undefined,
      algorithm: options.idTokenAlgorithm,
    }),
    resources: createResources({
      ...options,
      signing: () => signingOf(options),
      adminSigning: () => ownSigningOf(options),
    }),
  };
}

function signingOf(options: OpenIdServiceOptions): AccessTokenSigning {
  const { sharedKey } = options;
  return sharedKey === undefined
    ? ownSigningOf(options)
    : { alg: 'HS256', kid: sharedKey.kid, key: sharedKey.current() };
}

const ownSigningOf = ({ keyRing, idTokenAlgorithm }: OpenIdServiceOptions): AccessTokenSigning => ({
  alg: idTokenAlgorithm,
  kid: keyRing.current().signingKeyId,
});
