export type BudgetBounds = {
  /** What all connections together may use above their guaranteed bytes. */
  readonly maxSharedBytes: number;
  /** What one connection may use in all. */
  readonly maxConnectionBytes: number;
  /** What each connection may use whatever the others take, so that none can starve another. */
  readonly guaranteedBytes: number;
};

/**
 * Bounds the memory that the server keeps for its clients: open streams, requests without a response yet, and
 * responses that clients do not read. Each connection draws on it through a share of its own.
 */
export class MemoryBudget {
  readonly #bounds: BudgetBounds;
  #sharedBytes = 0;

  constructor(bounds: BudgetBounds) {
    this.#bounds = bounds;
  }

  /** What all connections use above their guaranteed bytes. */
  get bytes(): number {
    return this.#sharedBytes;
  }

  /** Creates the share of a new connection. */
  share(): MemoryShare {
    return new MemoryShare(this, this.#bounds);
  }

  /** For `MemoryShare`. @returns false, and reserves nothing, when the bound would be exceeded */
  reserve(bytes: number): boolean {
    if (this.#sharedBytes + bytes > this.#bounds.maxSharedBytes) return false;
    this.#sharedBytes += bytes;
    return true;
  }

  /** For `MemoryShare`. */
  release(bytes: number): void {
    this.#sharedBytes -= bytes;
  }
}

/** What one connection uses of a budget. */
export class MemoryShare {
  readonly #budget: MemoryBudget;
  readonly #bounds: BudgetBounds;
  #bytes = 0;
  #onReleased: (() => void) | undefined;

  constructor(budget: MemoryBudget, bounds: BudgetBounds) {
    this.#budget = budget;
    this.#bounds = bounds;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @returns false, and reserves nothing, when a bound would be exceeded or the share is closed */
  reserve(bytes: number): boolean {
    if (this.#onReleased !== undefined) return false;
    const after = this.#bytes + bytes;
    const { maxConnectionBytes, guaranteedBytes } = this.#bounds;
    if (after > guaranteedBytes) {
      const shared = after - Math.max(this.#bytes, guaranteedBytes);
      if (after > maxConnectionBytes || !this.#budget.reserve(shared)) return false;
    }
    this.#bytes = after;
    return true;
  }

  release(bytes: number): void {
    const { guaranteedBytes } = this.#bounds;
    const shared = this.#bytes - Math.max(this.#bytes - bytes, guaranteedBytes);
    if (shared > 0) this.#budget.release(shared);
    this.#bytes -= bytes;
    if (this.#bytes === 0 && bytes > 0) this.#onReleased?.();
  }

  /**
   * Reserves nothing from now on. Calls `onReleased` once, when all bytes have been released: at once or
   * later.
   */
  close(onReleased: () => void): void {
    this.#onReleased = onReleased;
    if (this.#bytes === 0) onReleased();
  }
}
