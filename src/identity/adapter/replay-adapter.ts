import { errors, type Adapter } from 'oidc-provider';
import {
  emptyAdapter,
  expiryOf,
  payloadOf,
  withoutId,
  type ProviderAdapterOptions,
} from './adapter-parts.ts';

const kind = 'ReplayDetection';

/** Longest lifetime of an assertion: its row is kept until it expires (RFC 7523 §3, item 4). */
const maxLifetimeSeconds = 24 * 60 * 60;

/**
 * Used client assertions. oidc-provider reads first and writes then, so `upsert` itself has to refuse a
 * second use.
 */
export function createReplayAdapter({ tokens, clock }: ProviderAdapterOptions): Adapter {
  return {
    ...emptyAdapter(kind),
    find: async (id) => payloadOf(await tokens.find(kind, id), id),
    upsert: async (id, payload, expiresIn = 0) => {
      if (!(expiresIn <= maxLifetimeSeconds))
        throw new errors.InvalidClientAuth('the lifetime of the assertion is too long');
      const expiresAtMs = Math.ceil(expiryOf(clock, expiresIn));
      const token = { kind, id, grantId: undefined, payload: withoutId(payload), expiresAtMs } as const;
      if (await tokens.putOnce(token)) return;
      throw new errors.InvalidClientAuth('the assertion was already used');
    },
  };
}
