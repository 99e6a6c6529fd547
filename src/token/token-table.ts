import type { SignedToken } from './verify-token.ts';

const noBytes: Buffer = Buffer.alloc(0);

/**
 * A token that a request presents, and everything known about it. The table holds entries of verified tokens
 * only.
 */
export class TokenEntry {
  readonly kind = 'token';
  readonly token: string;
  /** The header value that presented it: `Bearer` and the token. Undefined if it came another way. */
  headerText: string | undefined;
  /** Set by the verifier alone; undefined until the signature is verified. */
  signed: SignedToken | undefined = undefined;
  /** Where the table keeps the token's bytes; set by the table alone. */
  hash = 0;
  slab = noBytes;
  offset = 0;

  constructor(token: string, headerText?: string) {
    this.token = token;
    this.headerText = headerText;
  }
}

/** The verified tokens, by their bytes, with everything derived from them. */
export type TokenTable = {
  /** Finds a token in the bytes of a request. Allocates nothing. */
  find(bytes: Buffer, start: number, end: number): TokenEntry | undefined;
  findText(token: string): TokenEntry | undefined;
  /** Takes a verified token, in place of an equal one. */
  add(entry: TokenEntry): void;
  delete(entry: TokenEntry): void;
  readonly size: number;
};

export type TokenTableBounds = {
  readonly maxEntries: number;
  /** By an estimate of what an entry holds, with all that later stages store with the token. */
  readonly maxBytes: number;
  /** Longest token that is kept. */
  readonly maxTokenBytes: number;
};

// Measured: see docs/adr/0009-one-memory-of-a-token.md.
const entryOverheadBytes = 3000;
const bytesPerCharacter = 3.5;

/** A token's bytes are kept in slabs: a buffer of its own for each token would cost 250 bytes more. */
const slabBytes = 128 * 1024;
/** The hash reads 8 bytes. Every signed token is longer. */
const minTokenBytes = 8;

/**
 * Keeps entries in two generations. A look-up moves an entry into the young one; when that is full, the whole
 * old one is dropped. Only the last `maxEntries / 2` used are certain to stay. Any request causes a look-up,
 * but only a token with a valid signature is added, so a flood of other tokens evicts nothing.
 * Cost: a hash of 8 bytes, one or two map look-ups and one comparison of the bytes.
 */
export function createTokenTable({ maxEntries, maxBytes, maxTokenBytes }: TokenTableBounds): TokenTable {
  let young = new Generation(maxTokenBytes);
  let old = new Generation(maxTokenBytes);
  const scratch = Buffer.allocUnsafeSlow(maxTokenBytes);

  function add(entry: TokenEntry): void {
    const cost = entry.token.length * bytesPerCharacter + entryOverheadBytes;
    // An entry as large as a whole generation isn't worth keeping.
    if (cost > maxBytes / 2 || entry.token.length > maxTokenBytes) return;
    if (young.size + 1 > maxEntries / 2 || young.bytes + cost > maxBytes / 2) {
      [young, old] = [old, young];
      young.clear();
    }
    old.delete(entry);
    young.add(entry, cost);
  }

  function find(bytes: Buffer, start: number, end: number): TokenEntry | undefined {
    if (end - start < minTokenBytes || end - start > maxTokenBytes) return undefined;
    const hash = hashOf(bytes, end);
    const recent = young.find(hash, bytes, start, end);
    if (recent !== undefined) return recent;
    const entry = old.find(hash, bytes, start, end);
    if (entry !== undefined) add(entry);
    return entry;
  }

  return {
    find,
    findText: (token) => {
      if (token.length > maxTokenBytes) return undefined;
      // A token is ASCII. In UTF-8 no other text has its bytes; in Latin-1 one could.
      const length = scratch.write(token);
      // A text that is not ASCII may have been cut off at the end of the buffer, after a whole token.
      return length === token.length ? find(scratch, 0, length) : undefined;
    },
    add,
    delete: (entry) => {
      young.delete(entry);
      old.delete(entry);
    },
    get size() {
      return young.size + old.size;
    },
  };
}

/** Entries that are dropped together. */
class Generation {
  /** By a hash of the token. Of two tokens with the same hash, the later one is kept. */
  readonly #entries = new Map<number, TokenEntry>();
  readonly #slabs: Buffer[] = [];
  readonly #slabBytes: number;
  #slabsUsed = 0;
  #slab = noBytes;
  #offset = 0;
  /** What the entries hold, by estimate; those that were deleted count too. */
  bytes = 0;

  constructor(maxTokenBytes: number) {
    this.#slabBytes = Math.max(slabBytes, maxTokenBytes);
  }

  get size(): number {
    return this.#entries.size;
  }

  find(hash: number, bytes: Buffer, start: number, end: number): TokenEntry | undefined {
    const entry = this.#entries.get(hash);
    if (entry === undefined || entry.token.length !== end - start) return undefined;
    const { slab, offset } = entry;
    return slab.compare(bytes, start, end, offset, offset + end - start) === 0 ? entry : undefined;
  }

  add(entry: TokenEntry, cost: number): void {
    const { length } = entry.token;
    if (this.#offset + length > this.#slab.length) this.#nextSlab();
    this.#slab.write(entry.token, this.#offset, length, 'latin1');
    entry.slab = this.#slab;
    entry.offset = this.#offset;
    this.#offset += length;
    entry.hash = hashOf(entry.slab, this.#offset);
    this.#entries.set(entry.hash, entry);
    this.bytes += cost;
  }

  delete(entry: TokenEntry): void {
    if (this.#entries.get(entry.hash) === entry) this.#entries.delete(entry.hash);
  }

  clear(): void {
    this.#entries.clear();
    this.#slabsUsed = 0;
    this.#slab = noBytes;
    this.#offset = 0;
    this.bytes = 0;
  }

  /** Slabs are used again after `clear`. */
  #nextSlab(): void {
    this.#slab = this.#slabs[this.#slabsUsed] ??= Buffer.allocUnsafeSlow(this.#slabBytes);
    this.#slabsUsed += 1;
    this.#offset = 0;
  }
}

/**
 * Hashes the last 8 bytes, which belong to the signature and differ from token to token. 30 bits, which V8
 * stores unboxed.
 */
const hashOf = (bytes: Buffer, end: number): number =>
  (bytes.readInt32LE(end - 8) ^ Math.imul(bytes.readInt32LE(end - 4), 0x9e37_79b1)) >>> 2;
