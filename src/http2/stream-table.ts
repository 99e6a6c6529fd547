/** How many streams that we closed early are remembered; the oldest is forgotten first. */
const maxClosedEarly = 1024;
/** A power of two, and more than are usually open at once. */
const slotCount = 256;

/**
 * The open streams of a connection by their ids, and the ids of those that we closed before the client did.
 * RFC 9113 §5.1.1.
 *
 * Ids count up by two, so a stream has slot (id / 2) mod 256 to itself, unless more than 256 ids lie between
 * the oldest open stream and the newest. A Map alone would be enough, but V8 reallocates a Map's table as
 * entries come and go, and the old table, once promoted to the old generation, keeps every stream in it alive
 * until a full collection.
 */
export class StreamTable<Stream extends { readonly id: number }> {
  readonly #slots: (Stream | undefined)[] = Array.from({ length: slotCount }, () => undefined);
  /** The streams whose slot was taken when they were added. */
  readonly #overflow = new Map<number, Stream>();
  #size = 0;
  readonly #closedEarly = new Set<number>();
  /** The highest id that the client has opened. */
  lastOpened = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Stream | undefined {
    const inSlot = this.#slots[slotOf(id)];
    if (inSlot?.id === id) return inSlot;
    return this.#overflow.size === 0 ? undefined : this.#overflow.get(id);
  }

  /** Every open stream, in no particular order. */
  all(): Stream[] {
    if (this.#size === 0) return [];
    const streams: Stream[] = [];
    for (const stream of this.#slots) if (stream !== undefined) streams.push(stream);
    for (const stream of this.#overflow.values()) streams.push(stream);
    return streams;
  }

  /** Adds a stream that is not in the table. */
  add(stream: Stream): void {
    const slot = slotOf(stream.id);
    if (this.#slots[slot] === undefined) this.#slots[slot] = stream;
    else this.#overflow.set(stream.id, stream);
    this.#size += 1;
  }

  /** Does nothing when the stream is not in the table. */
  delete(stream: Stream): void {
    const slot = slotOf(stream.id);
    if (this.#slots[slot] === stream) this.#slots[slot] = undefined;
    else if (!this.#overflow.delete(stream.id)) return;
    this.#size -= 1;
  }

  clear(): void {
    this.#slots.fill(undefined);
    this.#overflow.clear();
    this.#size = 0;
  }

  /** True for an id that was never opened. Even ids belong to servers, and we open no streams. */
  isIdle(id: number): boolean {
    return id % 2 === 0 || id > this.lastOpened;
  }

  /** We closed it before the client did, so its frames may still arrive and are not an error. */
  isClosedEarly(id: number): boolean {
    return this.#closedEarly.has(id);
  }

  addClosedEarly(id: number): void {
    this.#closedEarly.add(id);
    if (this.#closedEarly.size <= maxClosedEarly) return;
    const [oldest = 0] = this.#closedEarly;
    this.#closedEarly.delete(oldest);
  }

  /** @returns false when it was not closed early */
  deleteClosedEarly(id: number): boolean {
    return this.#closedEarly.delete(id);
  }
}

const slotOf = (id: number): number => (id >>> 1) & (slotCount - 1);
