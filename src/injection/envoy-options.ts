import type { Address } from '../runtime/address.ts';

/** A piece of Envoy's configuration, as JSON. */
export type EnvoyObject = { readonly [key: string]: unknown };

/** A path after Envoy's normalization, without the query. A prefix matches whole segments. */
export type PathMatch = { readonly exact: string } | { readonly prefix: string };

/**
 * What a route requires of the token: the `curfew.*` context extensions that Envoy sends to the authorizer.
 */
export type EnvoyRoutePolicy = {
  readonly access?: 'required' | 'optional';
  readonly audience?: string;
  readonly scopes?: readonly string[];
  /** A duration such as `10s`. */
  readonly maxExposure?: string;
};

/** One listener with the service behind it. */
export type EnvoyService = {
  /** Names the listener and the cluster. */
  readonly name: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly upstream: {
    readonly host: string;
    readonly port: number;
    /** The protocol of the service. Default `same`: that of the client, with HTTP/2 in plain text. */
    readonly protocol?: 'same' | 'http1' | 'http2';
    /** Source address of connections to the service, for services that trust 127.0.0.1. */
    readonly sourceAddress?: string;
  };
  /** The policy of requests that match none of `routes`. Default: a valid token is required. */
  readonly policy?: EnvoyRoutePolicy;
  /** The first match applies. */
  readonly routes?: readonly { readonly path: PathMatch; readonly policy: EnvoyRoutePolicy }[];
  /**
   * Passed on without a check, and without headers of the reserved prefix. They take precedence over
   * `routes`.
   */
  readonly publicPaths?: readonly PathMatch[];
  /** `allow` (default): CORS preflight requests, which have no credentials, are passed on without a check. */
  readonly corsPreflight?: 'allow' | 'deny';
  /**
   * The number of proxies in front of this Envoy, whose `X-Forwarded-Proto` the service gets; 0 to 8. Default
   * 0: clients connect directly, and Envoy sets the header.
   */
  readonly trustedProxyHops?: number;
  /** Ends streams after this time, so that revocations take effect on long ones; ms. Default: never. */
  readonly maxStreamDurationMs?: number;
};

/** Mutual TLS between Envoy and an authorizer on another machine: paths of PEM files. */
export type AuthorizerTls = {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
  /** Name in the authorizer's certificate. */
  readonly serverName: string;
};

/** A place of the request that may contain the token. */
export type TokenSource = { readonly header: string } | { readonly cookie: string };

export type EnvoyConfigOptions = {
  readonly services: readonly EnvoyService[];
  /** Where the authorizer listens. */
  readonly authorizer: Address;
  readonly authorizerTls?: AuthorizerTls;
  /** How long Envoy waits for a decision before it answers 503; ms, 1 to 1000, default 1000. */
  readonly authorizerTimeoutMs?: number;
  /** As the authorizer's `token.sources`; default: the Authorization header. */
  readonly sources?: readonly TokenSource[];
  /** As the authorizer's `upstream.prefix`; default `x-auth-`. */
  readonly reservedPrefix?: string;
  /** The authorizer has `denied.corsOrigins`, so Envoy sends it the origin. */
  readonly cors?: boolean;
  /** The authorizer has `denied.loginRedirect`, so Envoy sends it the headers that identify browsers. */
  readonly loginRedirect?: boolean;
  /** Its lines contain no query, no header value and no subject. Default `stdout`. */
  readonly accessLog?: 'stdout' | 'none';
  readonly admin?: { readonly host: string; readonly port: number };
};
