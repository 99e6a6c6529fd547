import { errors, type Adapter } from 'oidc-provider';
import {
  emptyAdapter,
  expiryOf,
  payloadOf,
  reasonOf,
  withoutId,
  type ProviderAdapterOptions,
} from './adapter-parts.ts';
import type { TokenKind } from '../store/stored-tokens.ts';

/** Tokens that are found by a secret and deleted with their grant. */
export function createTokenAdapter(options: ProviderAdapterOptions, kind: TokenKind): Adapter {
  const { tokens, revoker, clock, context } = options;
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
        throw new errors.InvalidGrant({ detail: 'the grant no longer exists' });
    },
    find: async (id) => {
      return payloadOf(await tokens.find(kind, id), id);
    },
    destroy: async (id) => {
      const grantId = (await tokens.find(kind, id))?.grantId;
      if (grantId === undefined) await tokens.delete(kind, id);
      // Ends the whole session: its tokens are deleted with the grant.
      else await revoker.revoke({ id: grantId }, reasonOf(context()));
    },
    revokeByGrantId: async (grantId) => {
      await revoker.revoke({ id: grantId }, reasonOf(context()));
    },
  };
}
