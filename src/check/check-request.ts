import type { TokenEntry } from '../token/token-table.ts';
import type { Decision } from './decision.ts';

/** What Envoy asks, in plain values. Header names are in lower case. */
export type CheckRequest = {
  readonly method: string;
  readonly host: string;
  /** Path and query, as received. */
  readonly path: string;
  /** Every value of every header Envoy passed on, in order. Raw bytes beyond UTF-8 arrive as Latin-1. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  /** The route's `context_extensions`. */
  readonly contextExtensions: ReadonlyMap<string, string>;
  /** The entry of a header value that was found in the token table. */
  readonly knownToken?: TokenEntry | undefined;
};

/** `undefined`: Envoy's message had no HTTP attributes. */
export type Check = (request: CheckRequest | undefined) => Decision | Promise<Decision>;
