import type { MemoryShare } from '../http2/memory-budget.ts';

const noBytes = Buffer.alloc(0);
/** The memory that a buffer takes besides its bytes. */
const overheadBytes = 512;

/**
 * Bytes that have arrived and are not handed over yet, counted in a memory share. An empty buffer takes no
 * memory.
 */
export class ReceiveBuffer {
  readonly #share: MemoryShare;
  #buffer = noBytes;
  #start = 0;
  #end = 0;
  #reservedBytes = 0;

  constructor(share: MemoryShare) {
    this.#share = share;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  /** Valid until the next call of `append` or `release`. */
  get bytes(): Buffer {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  /**
   * Copies the bytes behind those that it holds.
   * @returns false when the memory share has no room for them
   */
  append(bytes: Buffer): boolean {
    if (bytes.length === 0) return true;
    if (this.#buffer.length - this.#end < bytes.length && !this.#makeRoom(bytes.length)) return false;
    bytes.copy(this.#buffer, this.#end);
    this.#end += bytes.length;
    return true;
  }

  /** Drops bytes from the front. */
  consume(bytes: number): void {
    this.#start += bytes;
    if (this.#start >= this.#end) this.release();
  }

  release(): void {
    this.#share.release(this.#reservedBytes);
    this.#reservedBytes = 0;
    this.#buffer = noBytes;
    this.#start = 0;
    this.#end = 0;
  }

  #makeRoom(bytes: number): boolean {
    const { length } = this;
    // Doubling, so that a message in n pieces is not copied n times.
    const size = Math.max(length + bytes, 2 * length);
    const more = size + overheadBytes - this.#reservedBytes;
    if (more > 0 && !this.#share.reserve(more)) return false;
    if (more < 0) this.#share.release(-more);
    this.#reservedBytes = size + overheadBytes;
    // Not from Node's pool, whose slab of 64 KiB it would keep alive.
    const larger = Buffer.allocUnsafeSlow(size);
    this.#buffer.copy(larger, 0, this.#start, this.#end);
    this.#buffer = larger;
    this.#start = 0;
    this.#end = length;
    return true;
  }
}
