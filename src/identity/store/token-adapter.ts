import { errors, type Adapter } from 'oidc-provider';
import { callerHash } from '../session/request-scope.ts';
import {
  emptyAdapter,
  expiryOf,
  payloadOf,
  reasonOf,
  withoutId,
  type ProviderAdapterOptions,
} from './adapter-parts.ts';
import type { TokenKind } from './token-store.ts';

/** Codes and other tokens of one use. */
export function createTokenAdapter(options: ProviderAdapterOptions, kind: TokenKind): Adapter {
  const { tokens, revoker, recovery, clock, scope } = options;
  return {
    ...emptyAdapter(kind),
    upsert: async (id, payload, expiresIn) => {
      const { grantId } = kind === 'Interaction' ? { grantId: undefined } : payload;
      const token = {
        kind,
        id,
        grantId,
        payload: withoutId(payload),
        expiresAtMs: expiryOf(clock, expiresIn),
      };
      if (!(await tokens.put(token, clock.nowMs())))
        throw new errors.InvalidGrant({ detail: 'the grant is gone' });
    },
    find: async (id) => {
      await recovery.settle(kind, id);
      return payloadOf(await tokens.find(kind, id), id);
    },
    consume: async (id) => {
      const use = { by: callerHash(scope()), nowMs: clock.nowMs() };
      scope().uses.push({ kind, id, use });
      if (await tokens.consume(kind, id, use)) return;
      const grantId = (await tokens.find(kind, id))?.grantId;
      if (grantId !== undefined) await revoker.revoke({ id: grantId }, 'reuse');
      throw new errors.InvalidGrant({ detail: `${kind} already used` });
    },
    destroy: async (id) => {
      const grantId = (await tokens.find(kind, id))?.grantId;
      if (grantId === undefined) await tokens.delete(kind, id);
      // The whole family goes: a token of it goes with its grant.
      else await revoker.revoke({ id: grantId }, reasonOf(scope()));
    },
    revokeByGrantId: async (grantId) => {
      await revoker.revoke({ id: grantId }, reasonOf(scope()));
    },
  };
}
