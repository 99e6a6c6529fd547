import { errors, type Adapter } from 'oidc-provider';
import {
  emptyAdapter,
  expiryOf,
  payloadOf,
  withoutId,
  type ProviderAdapterOptions,
} from './adapter-parts.ts';

const kind = 'ReplayDetection';

/** RFC 7523 §3 (4): the row is kept as long as the assertion is good. */
const maxLifetimeSeconds = 24 * 60 * 60;

/** Assertions of clients that were used. oidc-provider looks first and then writes: of two at once one must not get by. */
export function createReplayAdapter({ tokens, clock }: ProviderAdapterOptions): Adapter {
  return {
    ...emptyAdapter(kind),
    find: async (id) => payloadOf(await tokens.find(kind, id), id),
    upsert: async (id, payload, expiresIn = 0) => {
      if (!(expiresIn <= maxLifetimeSeconds))
        throw new errors.InvalidClientAuth('the assertion is good for too long');
      const expiresAtMs = Math.ceil(expiryOf(clock, expiresIn));
      const token = { kind, id, grantId: undefined, payload: withoutId(payload), expiresAtMs } as const;
      if (await tokens.putOnce(token)) return;
      throw new errors.InvalidClientAuth('the assertion was used already');
    },
  };
}
