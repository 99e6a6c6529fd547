/** A map with bounds that forgets what was not used lately. */
export type TokenCache<Entry> = {
  get(token: string): Entry | undefined;
  set(token: string, entry: Entry): void;
  delete(token: string): void;
  readonly size: number;
};

// Measured for a verified token: 1.75 bytes a character and 1.4 kB, and some for what the upstream is told of it.
const entryOverheadBytes = 2000;
const bytesPerCharacter = 2;

/**
 * Keeps entries in two generations: a look-up moves an entry into the young one; when that is full, the old one is
 * dropped whole. At most the last `maxEntries / 2` used are certain to stay. Cost: one or two map look-ups.
 * @param bounds.maxEntries both generations together
 * @param bounds.maxBytes the same, by an estimate of what an entry holds
 */
export function createTokenCache<Entry>(bounds: { maxEntries: number; maxBytes: number }): TokenCache<Entry> {
  let young = new Map<string, Entry>();
  let old = new Map<string, Entry>();
  let youngBytes = 0;

  function set(token: string, entry: Entry): void {
    const bytes = token.length * bytesPerCharacter + entryOverheadBytes;
    const full = young.size + 1 > bounds.maxEntries / 2 || youngBytes + bytes > bounds.maxBytes / 2;
    if (full && !young.has(token)) {
      old = young;
      young = new Map();
      youngBytes = 0;
    }
    // An entry as large as a whole generation isn't worth keeping.
    if (bytes > bounds.maxBytes / 2) return;
    if (!young.has(token)) youngBytes += bytes;
    young.set(token, entry);
    old.delete(token);
  }

  return {
    get(token) {
      const recent = young.get(token);
      if (recent !== undefined) return recent;
      const entry = old.get(token);
      if (entry !== undefined) set(token, entry);
      return entry;
    },
    set,
    delete(token) {
      if (young.delete(token)) youngBytes -= token.length * bytesPerCharacter + entryOverheadBytes;
      old.delete(token);
    },
    get size() {
      return young.size + old.size;
    },
  };
}
