import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { AuthorizerMetrics } from '../runtime/metrics.ts';
import type { Algorithm } from '../vocabulary/algorithms.ts';
import { httpGet, type HttpGet } from './http-get.ts';
import { createJwksSource } from './jwks-source.ts';
import type { KeySet } from './key-set.ts';
import { createLocalKeySet } from './local-key-set.ts';
import { jwkSetFileKeys, sharedSecretKeys, type SharedSecret } from './local-keys.ts';
import { createRemoteKeySet } from './remote-key-set.ts';

/** Where an issuer's keys come from. */
export type KeyOrigin =
  | ({ readonly kind: 'secret' } & SharedSecret)
  | { readonly kind: 'file'; readonly path: string }
  | ({ readonly kind: 'remote' } & RemoteOrigin);

export type RemoteOrigin = {
  /** Default: found by discovery from the issuer. */
  readonly uri?: string | undefined;
  /** A key that was removed from the set is accepted no longer than this; default 5 minutes. */
  readonly refreshMs?: number | undefined;
  /** Unknown keys cause at most one refresh in this time; default 10 s. */
  readonly cooldownMs?: number | undefined;
  /** For one refresh, discovery included; default 5 s. */
  readonly timeoutMs?: number | undefined;
  /** Default 256 KiB. */
  readonly maxBytes?: number | undefined;
  /** How long the last good set is used while refreshes fail; default 24 h. */
  readonly maxStaleMs?: number | undefined;
  /** Plain HTTP beyond loopback; default false. */
  readonly allowHttp?: boolean | undefined;
  /** Path of PEM certificates to trust instead of the system's. */
  readonly caFile?: string | undefined;
};

export type IssuerKeysOptions = {
  readonly issuer: string;
  readonly algorithms: readonly Algorithm[];
  readonly origin: KeyOrigin;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<AuthorizerMetrics, 'jwksRefreshes' | 'jwksAge'>;
  /**
   * 0 to below 1; default Math.random. It spreads refreshes, and nothing that needs secrecy depends on it.
   */
  readonly random?: () => number;
  /** Default: over node:https and node:http. */
  readonly get?: HttpGet;
  /** How often files are checked for a change; ms, default 5000. */
  readonly watchEveryMs?: number;
};

/**
 * Makes the key set of an issuer. It reads nothing before `start`.
 * @throws ERR_CONFIG_INVALID when a configured address may not be used
 */
export function createIssuerKeys(options: IssuerKeysOptions): KeySet {
  const { issuer, origin, algorithms, log } = options;
  switch (origin.kind) {
    case 'secret':
      return createLocalKeySet({ ...options, keys: sharedSecretKeys(origin, algorithms) });
    case 'file':
      return createLocalKeySet({ ...options, keys: jwkSetFileKeys(origin.path, algorithms, log) });
    case 'remote': {
      const load = createJwksSource({
        issuer,
        uri: origin.uri,
        timeoutMs: origin.timeoutMs ?? 5000,
        maxBytes: origin.maxBytes ?? 256 * 1024,
        allowHttp: origin.allowHttp ?? false,
        caFile: origin.caFile,
        get: options.get ?? httpGet,
        clock: options.clock,
      });
      return createRemoteKeySet({
        ...options,
        load,
        refreshMs: origin.refreshMs ?? 300_000,
        cooldownMs: origin.cooldownMs ?? 10_000,
        maxStaleMs: origin.maxStaleMs ?? 86_400_000,
        random: options.random ?? Math.random,
      });
    }
  }
}
