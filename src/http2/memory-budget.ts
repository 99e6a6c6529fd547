export type BudgetBounds = {
  /** Of all connections together, beyond what each has of its own; octets. */
  readonly mostBytes: number;
  /** Of one connection; octets. */
  readonly mostBytesOfOne: number;
  /** What a connection has in any case, so that no other can take all from it; octets. */
  readonly ownBytes: number;
};

/** What clients may have kept for them: calls, messages that haven't been answered, answers that they don't take. */
export class MemoryBudget {
  readonly #bounds: BudgetBounds;
  #common = 0;

  constructor(bounds: BudgetBounds) {
    this.#bounds = bounds;
  }

  /** Taken by all connections, beyond what each has of its own; octets. */
  get bytes(): number {
    return this.#common;
  }

  /** For a new connection. */
  share(): MemoryShare {
    return new MemoryShare(this, this.#bounds);
  }

  /** @returns false, and counts nothing, where it would be too much */
  take(bytes: number): boolean {
    if (this.#common + bytes > this.#bounds.mostBytes) return false;
    this.#common += bytes;
    return true;
  }
}

/** What one connection has taken. */
export class MemoryShare {
  readonly #budget: MemoryBudget;
  readonly #bounds: BudgetBounds;
  #bytes = 0;
  #onFree: (() => void) | undefined;

  constructor(budget: MemoryBudget, bounds: BudgetBounds) {
    this.#budget = budget;
    this.#bounds = bounds;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @returns false, and counts nothing, where it would be too much */
  take(bytes: number): boolean {
    if (this.#onFree !== undefined) return false;
    const after = this.#bytes + bytes;
    const { mostBytesOfOne, ownBytes } = this.#bounds;
    if (after > ownBytes) {
      const beyond = after - Math.max(this.#bytes, ownBytes);
      if (after > mostBytesOfOne || !this.#budget.take(beyond)) return false;
    }
    this.#bytes = after;
    return true;
  }

  giveBack(bytes: number): void {
    const { ownBytes } = this.#bounds;
    const beyond = this.#bytes - Math.max(this.#bytes - bytes, ownBytes);
    if (beyond > 0) this.#budget.take(-beyond);
    this.#bytes -= bytes;
    if (this.#bytes === 0 && bytes > 0) this.#onFree?.();
  }

  /** Its connection is over. Nothing more is taken, and `onFree` is told once, when all was given back: at once, or later. */
  end(onFree: () => void): void {
    this.#onFree = onFree;
    if (this.#bytes === 0) onFree();
  }
}
