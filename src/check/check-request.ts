import type { TokenEntry } from '../token/token-table.ts';
import type { Decision } from './decision.ts';

/** Envoy's check request as plain values. Header names are in lower case. */
export type CheckRequest = {
  readonly method: string;
  readonly host: string;
  /** Path and query, as received. */
  readonly path: string;
  /**
   * Every value of every header that Envoy sent, in order. Bytes that are not UTF-8 are decoded as Latin-1.
   */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  /** The route's `context_extensions`. */
  readonly contextExtensions: ReadonlyMap<string, string>;
  /** The entry of a header value that was found in the token table. */
  readonly knownToken?: TokenEntry | undefined;
};

/** Decides a request. @param request undefined: Envoy's message had no HTTP attributes */
export type Check = (request: CheckRequest | undefined) => Decision | Promise<Decision>;
