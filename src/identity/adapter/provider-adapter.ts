import type { AdapterFactory } from 'oidc-provider';
import { emptyAdapter, type ProviderAdapterOptions } from './adapter-parts.ts';
import { createAccessTokenAdapter } from './access-token-adapter.ts';
import { createCodeAdapter } from './code-adapter.ts';
import { createDeviceCodeAdapter } from './device-code-adapter.ts';
import { createGrantAdapter } from './grant-adapter.ts';
import { createInteractionAdapter } from './interaction-adapter.ts';
import { createRefreshTokenAdapter } from './refresh-token-adapter.ts';
import { createReplayAdapter } from './replay-adapter.ts';
import { createSessionAdapter } from './session-adapter.ts';

/** The storage of oidc-provider, by the names of its models. */
export function createProviderAdapter(options: ProviderAdapterOptions): AdapterFactory {
  return (model) => {
    switch (model) {
      case 'Grant':
        return createGrantAdapter(options);
      case 'Session':
        return createSessionAdapter(options);
      case 'RefreshToken':
        return createRefreshTokenAdapter(options);
      case 'DeviceCode':
        return createDeviceCodeAdapter(options);
      case 'AccessToken':
        return createAccessTokenAdapter(options);
      case 'Interaction':
        return createInteractionAdapter(options);
      case 'AuthorizationCode':
        return createCodeAdapter(options);
      case 'ReplayDetection':
        return createReplayAdapter(options);
      default:
        return emptyAdapter(model);
    }
  };
}
