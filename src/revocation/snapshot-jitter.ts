import type { Head } from '../revocation-log/head.ts';

const jitterMs = 1000;

/** Spreads the reads of a new epoch over one second, so that the sidecars don't all read it at once. */
export class SnapshotJitter {
  readonly #random: () => number;
  #due: { epoch: string; atMs: number } | undefined;

  /** @param random 0 to 1 */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** How long to wait before reading the epoch; ms. A view that isn't live reads at once. */
  waitMs({ epoch, owner }: Head, isLive: boolean, monotonicMs: number): number {
    const name = `${epoch} ${owner}`;
    if (this.#due?.epoch !== name)
      this.#due = { epoch: name, atMs: monotonicMs + (isLive ? this.#random() * jitterMs : 0) };
    return this.#due.atMs - monotonicMs;
  }
}
