/**
 * Counts what a peer sends without need: resets, pings, settings, empty frames. Some of it is normal, and each costs a
 * little more than it costs the peer. Holds so many at once, and gets so many back a second.
 */
export class Strikes {
  readonly #most: number;
  readonly #perMs: number;
  readonly #nowMs: () => number;
  #left: number;
  #countedMs: number;

  constructor(options: { most: number; perSecond: number; nowMs(): number }) {
    this.#most = options.most;
    this.#perMs = options.perSecond / 1000;
    this.#nowMs = options.nowMs;
    this.#left = options.most;
    this.#countedMs = options.nowMs();
  }

  /** @returns false when it was one too many */
  take(): boolean {
    const nowMs = this.#nowMs();
    this.#left = Math.min(this.#most, this.#left + (nowMs - this.#countedMs) * this.#perMs);
    this.#countedMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
