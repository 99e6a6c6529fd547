import type { ServerStream } from './server-stream.ts';

const mostAbandoned = 1024;

/** The streams of a connection that are open, and what is remembered of others. RFC 9113 §5.1.1. */
export class StreamTable {
  readonly #open = new Map<number, ServerStream>();
  /** Ended by us before their client had: what still comes for them is no error. */
  readonly #abandoned = new Set<number>();
  /** The highest id that was opened. */
  last = 0;

  get size(): number {
    return this.#open.size;
  }

  get(id: number): ServerStream | undefined {
    return this.#open.get(id);
  }

  all(): ServerStream[] {
    return [...this.#open.values()];
  }

  add(stream: ServerStream): void {
    this.#open.set(stream.id, stream);
  }

  delete(stream: ServerStream): void {
    this.#open.delete(stream.id);
  }

  clear(): void {
    this.#open.clear();
  }

  /** True for a stream that nobody has opened yet; ours would be even, and we open none. */
  isIdle(id: number): boolean {
    return id % 2 === 0 || id > this.last;
  }

  isAbandoned(id: number): boolean {
    return this.#abandoned.has(id);
  }

  /** Forgets that it was abandoned. @returns false if it wasn't */
  forgive(id: number): boolean {
    return this.#abandoned.delete(id);
  }

  abandon(id: number): void {
    this.#abandoned.add(id);
    if (this.#abandoned.size <= mostAbandoned) return;
    const [oldest = 0] = this.#abandoned;
    this.#abandoned.delete(oldest);
  }
}
