export type RateLimitOptions = {
  /** How many are allowed at once. */
  readonly burst: number;
  /** How many are refilled per second. */
  readonly perSecond: number;
};

/**
 * A token bucket. Some resets, pings and settings are normal, but each costs the server more than the client.
 */
export class RateLimit {
  readonly #burst: number;
  readonly #perMs: number;
  readonly #nowMs: () => number;
  #tokens: number;
  #refilledMs: number;

  /** @param nowMs a monotonic clock; ms */
  constructor({ burst, perSecond }: RateLimitOptions, nowMs: () => number) {
    this.#burst = burst;
    this.#perMs = perSecond / 1000;
    this.#nowMs = nowMs;
    this.#tokens = burst;
    this.#refilledMs = nowMs();
  }

  /** Takes one token. @returns false when none is left: the limit is exceeded */
  take(): boolean {
    const nowMs = this.#nowMs();
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#refilledMs) * this.#perMs);
    this.#refilledMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
