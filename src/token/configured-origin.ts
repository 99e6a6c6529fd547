import { secretFromFile } from '../runtime/secret.ts';
import type { KeyOrigin } from './issuer-keys.ts';

/** `jwks` in the configuration of an issuer. Durations in ms. */
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

/** `secret` in the configuration of an issuer. */
export type SecretSettings = {
  readonly file: string;
  readonly encoding: 'base64url' | 'raw';
  readonly kid: string;
};

/**
 * Where the configured keys come from. Without `jwks`: discovery from the issuer, with the default settings.
 */
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

export const secretOrigin = ({ file, encoding, kid }: SecretSettings): KeyOrigin => ({
  kind: 'secret',
  secret: secretFromFile(file),
  encoding,
  name: kid,
});
