import { endOfMessage, malformedMessage, WireReader } from '../protobuf/wire-reader.ts';

/** Decodes the entries of `context_extensions` in part of the attributes; `start` is -1 if the request has no such entries. */
export type ContextExtensions = (
  bytes: Buffer,
  start: number,
  end: number,
) => ReadonlyMap<string, string> | 'too_many' | 'malformed';

const field = 10;
const maxExtensions = 128;
const maxCached = 256;
/** Longer extensions are decoded each time, so that the cache stays below 1 MB. */
const maxCachedBytes = 2048;

const none: ReadonlyMap<string, string> = new Map();

/**
 * Envoy sends a route's extensions with each request, always as the same bytes. Equal bytes are decoded once,
 * and return the same object.
 */
export function createContextExtensions(): ContextExtensions {
  const cache = new Map<string, ReadonlyMap<string, string>>();
  const last = Buffer.allocUnsafeSlow(maxCachedBytes);
  let lastLength = -1;
  let lastRead = none;

  function read(bytes: Buffer, start: number, end: number): ReturnType<ContextExtensions> {
    const key = bytes.toString('latin1', start, end);
    const known = cache.get(key);
    if (known !== undefined) return known;
    const entries = readEntries(bytes, start, end);
    if (typeof entries === 'string') return entries;
    if (cache.size >= maxCached) cache.clear();
    cache.set(key, entries);
    return entries;
  }

  return (bytes, start, end) => {
    if (start === -1) return none;
    const length = end - start;
    if (length > maxCachedBytes) return readEntries(bytes, start, end);
    if (length === lastLength && last.compare(bytes, start, end, 0, length) === 0) return lastRead;
    const entries = read(bytes, start, end);
    if (typeof entries === 'string') return entries;
    lastLength = bytes.copy(last, 0, start, end);
    lastRead = entries;
    return entries;
  };
}

function readEntries(
  bytes: Buffer,
  start: number,
  end: number,
): ReadonlyMap<string, string> | 'too_many' | 'malformed' {
  const wire = new WireReader(bytes);
  wire.seek(start);
  const entries = new Map<string, string>();
  let count = 0;
  for (;;) {
    const found = wire.next(end, 1 << field);
    if (found === malformedMessage) return 'malformed';
    if (found === endOfMessage) return count > maxExtensions ? 'too_many' : entries;
    if (found !== field) continue;
    count += 1;
    const { end: entryEnd } = wire;
    const entry = readEntry(bytes, wire.start, entryEnd);
    // Two decoders could differ in which of two equal keys they use.
    if (entry === undefined || entries.has(entry.key)) return 'malformed';
    entries.set(entry.key, entry.value);
  }
}

function readEntry(bytes: Buffer, start: number, end: number): { key: string; value: string } | undefined {
  const wire = new WireReader(bytes);
  wire.seek(start);
  let key: string | undefined;
  let value: string | undefined;
  for (;;) {
    const found = wire.next(end, (1 << 1) | (1 << 2));
    if (found === malformedMessage) return undefined;
    if (found === endOfMessage) return { key: key ?? '', value: value ?? '' };
    if (found === 1) {
      if (key !== undefined) return undefined;
      key = bytes.toString('utf8', wire.start, wire.end);
    } else if (found === 2) {
      if (value !== undefined) return undefined;
      value = bytes.toString('utf8', wire.start, wire.end);
    }
  }
}
