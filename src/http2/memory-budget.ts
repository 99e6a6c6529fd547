/**
 * What clients may have kept for them, messages that haven't been answered and answers that they don't take: bounded for all
 * connections together, and for the share of each.
 */
export class MemoryBudget {
  readonly #mostBytes: number;
  readonly #mostBytesOfOne: number;
  readonly #shares = new Map<object, number>();
  #bytes = 0;

  constructor(bounds: { mostBytes: number; mostBytesOfOne: number }) {
    this.#mostBytes = bounds.mostBytes;
    this.#mostBytesOfOne = bounds.mostBytesOfOne;
  }

  /** Taken, all together. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @returns false, and counts nothing, where it would be too much */
  take(connection: object, bytes: number): boolean {
    const share = (this.#shares.get(connection) ?? 0) + bytes;
    if (share > this.#mostBytesOfOne || this.#bytes + bytes > this.#mostBytes) return false;
    this.#shares.set(connection, share);
    this.#bytes += bytes;
    return true;
  }

  giveBack(connection: object, bytes: number): void {
    if (bytes === 0) return;
    this.#bytes -= bytes;
    const share = (this.#shares.get(connection) ?? 0) - bytes;
    if (share === 0) this.#shares.delete(connection);
    else this.#shares.set(connection, share);
  }
}
