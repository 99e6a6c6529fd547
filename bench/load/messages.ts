/** Where load goes: an HTTP/1.1 listener, or a gRPC authorizer itself. */
export type Target =
  | { readonly protocol: 'http'; readonly port: number }
  | { readonly protocol: 'grpc'; readonly port: number }
  | { readonly protocol: 'grpc'; readonly path: string };

/** Tokens that requests carry in turn. */
export type Mix = {
  /** Name of a pool whose tokens come again soon; its first `hotTokens` are used. */
  readonly hot: string;
  readonly hotTokens: number;
  /** A pool so large that its tokens have been forgotten when they come again. */
  readonly cold?: string;
  /** Requests of ten that take a cold token. */
  readonly coldOfTen?: number;
};

export type Load = {
  readonly target: Target;
  readonly mix: Mix;
  readonly durationMs: number;
  /** Ends the run earlier. */
  readonly maxRequests?: number;
  /** Requests open at a time, over as many connections (HTTP) or streams of one connection (gRPC). */
  readonly concurrency: number;
  /** Requests a second, sent at their time whether or not earlier ones were answered; default: closed loop. */
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
  /** The longest, at most `keptSlowest`, ascending: of many short runs together the slowest thousandth can be told by them. */
  readonly slowest: readonly number[];
  /** Latency at each of `plottedQuantiles`. */
  readonly curve: readonly number[];
};

export const keptSlowest = 50;

export const plottedQuantiles: readonly number[] = [
  0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999,
];

/** Told to the generator once: a pool's name and the file that holds one token a line. */
export type Command =
  | { readonly kind: 'pool'; readonly name: string; readonly file: string }
  | { readonly kind: 'load'; readonly load: Load };

export type Answer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'result'; readonly result: LoadResult }
  | { readonly kind: 'error'; readonly message: string };
