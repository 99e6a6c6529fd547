import type { Adapter } from 'oidc-provider';
import type { ProviderAdapterOptions } from './adapter-parts.ts';
import { payloadOfOneUse, useCode } from './repeated-use.ts';
import { createTokenAdapter } from './token-adapter.ts';

const kind = 'AuthorizationCode';

/** Authorization codes. */
export function createCodeAdapter(options: ProviderAdapterOptions): Adapter {
  const { tokens, recovery } = options;
  return {
    ...createTokenAdapter(options, kind),
    find: async (id) => {
      await recovery.recover(kind, id);
      return await payloadOfOneUse({ kind, id }, await tokens.find(kind, id), options);
    },
    consume: async (id) => await useCode({ kind, id }, options),
  };
}
