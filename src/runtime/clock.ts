/** Seconds since 1970-01-01T00:00:00Z, as in RFC 7519 §2 (NumericDate). */
export type EpochSeconds = number;

/** Time as a dependency, so that tests can stop it, or let it jump. */
export type Clock = {
  /** Wall clock, milliseconds since 1970. May step. */
  nowMs(): number;
  /** Monotonic clock, milliseconds since an arbitrary start. Never steps. */
  monotonicMs(): number;
};

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};
