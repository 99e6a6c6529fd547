import type { KeyOrigin } from './issuer-keys.ts';

/** Where an issuer's keys are, as every configuration file gives it. Durations in ms. */
export type JwksSettings =
  | { readonly file: string }
  | {
      readonly uri?: string | undefined;
      readonly refresh: number;
      readonly cooldown: number;
      readonly timeout: number;
      readonly maxBytes: number;
      readonly maxStale: number;
      readonly allowHttp: boolean;
      readonly ca?: string | undefined;
    };

/** @param jwks undefined: the keys are found by discovery from the issuer, with the default limits */
export function jwksOrigin(jwks: JwksSettings | undefined): KeyOrigin {
  if (jwks === undefined) return { kind: 'remote' };
  if ('file' in jwks) return { kind: 'file', path: jwks.file };
  return {
    kind: 'remote',
    uri: jwks.uri,
    refreshMs: jwks.refresh,
    cooldownMs: jwks.cooldown,
    timeoutMs: jwks.timeout,
    maxBytes: jwks.maxBytes,
    maxStaleMs: jwks.maxStale,
    allowHttp: jwks.allowHttp,
    caFile: jwks.ca,
  };
}
