import type { Adapter } from 'oidc-provider';
import type { ProviderAdapterOptions } from './adapter-parts.ts';
import { hashOf } from '../store/sealing.ts';
import { createTokenAdapter } from './token-adapter.ts';

const kind = 'Interaction';

/** Pending logins. A login can be found only by the browser that began it. */
export function createInteractionAdapter(options: ProviderAdapterOptions): Adapter {
  const plain = createTokenAdapter(options, kind);
  const { context } = options;
  return {
    ...plain,
    upsert: async (id, payload, expiresIn) => {
      const browserHash = hashOf('Browser', context().nameBrowser());
      await plain.upsert(id, { ...payload, browserHash }, expiresIn);
    },
    find: async (id) => {
      const { browser } = context();
      const payload = browser === undefined ? undefined : await plain.find(id);
      return payload?.['browserHash'] === hashOf('Browser', browser ?? '') ? payload : undefined;
    },
  };
}
