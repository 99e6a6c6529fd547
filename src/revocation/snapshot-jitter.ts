import type { Head } from '../revocation-log/head.ts';

const jitterMs = 1000;

/** Spreads the reads of a new epoch over a second, so that not all sidecars read it at once. */
export class SnapshotJitter {
  readonly #random: () => number;
  #due: { epoch: string; atMs: number } | undefined;

  /** @param random 0 to 1 */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** How long to wait before the epoch is read; ms. A view that isn't live has nothing to lose and reads at once. */
  waitMs({ epoch, owner }: Head, isLive: boolean, monotonicMs: number): number {
    const name = `${epoch} ${owner}`;
    if (this.#due?.epoch !== name)
      this.#due = { epoch: name, atMs: monotonicMs + (isLive ? this.#random() * jitterMs : 0) };
    return this.#due.atMs - monotonicMs;
  }
}
