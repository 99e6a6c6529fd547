/**
 * Pauses between attempts. Each is twice as long as the last, up to a maximum, less a random part of up to
 * half.
 */
export class Backoff {
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #attempt = 0;

  constructor(options: { firstMs: number; maxMs: number; random: () => number }) {
    this.#firstMs = options.firstMs;
    this.#maxMs = options.maxMs;
    this.#random = options.random;
  }

  /** The pause before the next attempt; ms. */
  next(): number {
    const fullMs = Math.min(this.#maxMs, this.#firstMs * 2 ** this.#attempt);
    this.#attempt = Math.min(this.#attempt + 1, 30);
    return fullMs * (1 - this.#random() / 2);
  }

  /** Call after a success: the next pause is `firstMs` again. */
  reset(): void {
    this.#attempt = 0;
  }
}

/** Resolves after `ms`, or as soon as the signal aborts. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const abort = (): void => resolve();
  signal.addEventListener('abort', abort, { once: true });
  await promise;
  clearTimeout(timer);
  signal.removeEventListener('abort', abort);
}
