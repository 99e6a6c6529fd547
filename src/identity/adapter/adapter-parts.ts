import type { Adapter, AdapterPayload } from 'oidc-provider';
import type { Clock } from '../../runtime/clock.ts';
import { Fault } from '../../runtime/fault.ts';
import type { IssuedTokenVerifier } from '../session/issued-token-verifier.ts';
import type { RequestContext } from '../request/request-context.ts';
import type { RevocationReason, Revoker } from '../session/revoker.ts';
import type { GrantStore } from '../store/grant-store.ts';
import type { SessionStore } from '../store/session-store.ts';
import type { TokenStore } from '../store/token-store.ts';
import type { OneUseKind, StoredToken } from '../store/stored-tokens.ts';
import type { UseRecovery } from '../store/use-recovery.ts';

export type ProviderAdapterOptions = {
  grants: GrantStore;
  tokens: TokenStore;
  sessions: SessionStore;
  revoker: Revoker;
  recovery: Pick<UseRecovery, 'recover'>;
  issuedTokenVerifier: IssuedTokenVerifier;
  clock: Clock;
  /** Most sessions of an account. A new one beyond that ends the least recently used one. */
  maxSessionsPerAccount: number;
  /** The context of the current request. */
  context(): RequestContext;
  /** How long after its rotation a refresh token is refused without ending its session; ms. */
  rotationLeewayMs: number;
  /** How long after its first use a refresh token or code returns the same successor again; ms, 0: never. */
  refreshGraceMs: number;
  /**
   * Called when a request gets the successor of an earlier one. `other`: from another address or
   * `User-Agent`.
   */
  onRepeat(kind: OneUseKind, caller: 'same' | 'other'): void;
};

export const expiryOf = (clock: Clock, expiresInSeconds: number | undefined): number =>
  clock.nowMs() + (expiresInSeconds ?? 0) * 1000;

/** The payload to store: it must not contain the token itself. */
export const withoutId = (payload: AdapterPayload): string => JSON.stringify({ ...payload, jti: undefined });

export const withId = (payload: string, id: string): AdapterPayload => ({
  ...(JSON.parse(payload) as AdapterPayload),
  jti: id,
});

export function payloadOf(token: StoredToken | undefined, id: string): AdapterPayload | undefined {
  if (token === undefined) return undefined;
  const { consumedAtMs } = token;
  const consumed = consumedAtMs === undefined ? {} : { consumed: Math.floor(consumedAtMs / 1000) };
  return { ...withId(token.payload, id), ...consumed };
}

/** The reason of a revocation that the current request causes. */
export function reasonOf({ route }: RequestContext): RevocationReason {
  switch (route) {
    case 'token':
      return 'reuse';
    case 'revocation':
      return 'revocation';
    case 'logout':
    case 'other':
      return 'logout';
  }
}

/** For models that are never stored: JWT access tokens, and those of disabled features. */
export function emptyAdapter(model: string): Adapter {
  const refuse = (): Promise<never> =>
    Promise.reject(new Fault('ERR_INTERNAL', `${model} must not be stored`));
  const nothing = (): Promise<undefined> => Promise.resolve(undefined);
  return {
    upsert: refuse,
    consume: refuse,
    find: nothing,
    findByUid: nothing,
    findByUserCode: nothing,
    destroy: nothing,
    revokeByGrantId: nothing,
  };
}
