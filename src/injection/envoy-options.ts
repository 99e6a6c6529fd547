import type { Address } from '../runtime/address.ts';

/** A piece of Envoy's configuration, as JSON. */
export type EnvoyObject = { readonly [key: string]: unknown };

/** A path as Envoy sees it after normalization, without the query; a prefix holds whole segments. */
export type PathMatch = { readonly exact: string } | { readonly prefix: string };

/** What a route asks of the token: the authorizer's `curfew.*` context extensions. */
export type EnvoyRoutePolicy = {
  readonly access?: 'required' | 'optional';
  readonly audience?: string;
  readonly scopes?: readonly string[];
  /** A duration such as `10s`. */
  readonly maxExposure?: string;
};

/** One port in front of one service. */
export type EnvoyService = {
  /** Names the listener and the cluster. */
  readonly name: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly upstream: {
    readonly host: string;
    readonly port: number;
    /** What the service speaks; by default the same as its client, HTTP/2 (without TLS) to HTTP/2. */
    readonly protocol?: 'same' | 'http1' | 'http2';
    /** Source address of connections to the service: for services that trust 127.0.0.1. */
    readonly sourceAddress?: string;
  };
  /** Holds where no route below says otherwise; default: a good token is required. */
  readonly policy?: EnvoyRoutePolicy;
  /** Looked through in order. */
  readonly routes?: readonly { readonly path: PathMatch; readonly policy: EnvoyRoutePolicy }[];
  /** Passed on without a check, but also without headers of the reserved prefix. Come before `routes`. */
  readonly publicPaths?: readonly PathMatch[];
  /** `allow` (default): CORS preflights, which can't carry a credential, are passed on without a check. */
  readonly corsPreflight?: 'allow' | 'deny';
  /**
   * Proxies in front of this Envoy whose `X-Forwarded-Proto` the service gets; 0 to 8, default 0: clients connect directly,
   * and Envoy writes it.
   */
  readonly trustedProxyHops?: number;
  /** Ends streams after this time, so that a revocation reaches long ones too; ms; default: never. */
  readonly maxStreamDurationMs?: number;
};

/** How Envoy proves itself to an authorizer on another machine, and checks it: paths of PEM files. */
export type AuthorizerTls = {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
  /** Name in the authorizer's certificate. */
  readonly serverName: string;
};

/** Where a token is looked for. */
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
  /** The authorizer has `denied.corsOrigins`: it needs to see the origin. */
  readonly cors?: boolean;
  /** The authorizer has `denied.loginRedirect`: it needs to tell browsers from other clients. */
  readonly loginRedirect?: boolean;
  /** Lines hold no query, no header value and no subject; default `stdout`. */
  readonly accessLog?: 'stdout' | 'none';
  readonly admin?: { readonly host: string; readonly port: number };
};
