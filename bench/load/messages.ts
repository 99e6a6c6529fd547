/** The authority of the server's certificate, and a certificate of the client's: paths of PEM files. */
export type ClientTlsFiles = { readonly ca: string; readonly cert: string; readonly key: string };

/** Where load goes: an HTTP/1.1 listener, or a gRPC authorizer itself. */
export type Target =
  | { readonly protocol: 'http'; readonly port: number }
  | { readonly protocol: 'grpc'; readonly port: number; readonly tls?: ClientTlsFiles }
  | { readonly protocol: 'grpc'; readonly path: string };

/** The tokens that requests use in turn. */
export type Mix = {
  /** The name of a pool whose tokens come again soon. The first `hotTokens` of it are used. */
  readonly hot: string;
  readonly hotTokens: number;
  /** A pool so large that its tokens are evicted before they come again. */
  readonly cold?: string;
  /** The number of requests of ten with a cold token. */
  readonly coldOfTen?: number;
};

export type Load = {
  readonly target: Target;
  readonly mix: Mix;
  readonly durationMs: number;
  /** Ends the run after this number of requests. */
  readonly maxRequests?: number;
  /** The number of open requests, over as many connections (HTTP) or streams of one connection (gRPC). */
  readonly concurrency: number;
  /** Requests per second, sent on time whether or not earlier ones were answered. Default: closed loop. */
  readonly ratePerSecond?: number;
};

/** Latencies in microseconds. */
export type LoadResult = {
  readonly requests: number;
  readonly elapsedMs: number;
  readonly allowed: number;
  readonly denied: number;
  readonly failed: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /**
   * The longest latencies, at most `keptSlowest`, ascending. They give the slowest thousandth of many short
   * runs together.
   */
  readonly slowest: readonly number[];
  /** Latency at each of `plottedQuantiles`. */
  readonly curve: readonly number[];
};

export const keptSlowest = 50;

export const plottedQuantiles: readonly number[] = [
  0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999,
];

/** Sent to the generator once: the name of a pool, and the file with one token per line. */
export type Command =
  | { readonly kind: 'pool'; readonly name: string; readonly file: string }
  | { readonly kind: 'load'; readonly load: Load };

export type Answer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'result'; readonly result: LoadResult }
  | { readonly kind: 'error'; readonly message: string };
