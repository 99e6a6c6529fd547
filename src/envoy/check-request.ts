import { isUtf8 } from 'node:buffer';
import { malformedRequest } from '../grpc/method.ts';
import { createBearerFinder, type TokenFinder } from './bearer-value.ts';
import { createContextExtensions, type ContextExtensions } from './context-extensions.ts';
import type { CheckRequest } from '../check/check-request.ts';
import type { TokenEntry } from '../token/token-table.ts';
import { createHeaderFinder, type HeaderFinder, type WantedHeaders } from './wanted-headers.ts';
import { endOfMessage, malformedMessage, WireReader } from '../protobuf/wire-reader.ts';

/**
 * Decodes Envoy's message. Never throws.
 * @returns undefined when the message has no HTTP attributes, or more headers or context extensions than any
 *   proxy would send. The request is then denied. Ignoring the excess could ignore headers that have to be
 *   removed.
 */
export type CheckRequestDecoder = (bytes: Buffer) => CheckRequest | undefined | typeof malformedRequest;

// Envoy's own limit is 100 headers unless configured higher (max_headers_count).
const maxHeaders = 1024;

// Field numbers, and one bit for each field that must be length-delimited, including fields that are skipped:
// a decoder that ignores the wire type would read other fields after a field of another type.
const bitsOf = (...fields: readonly number[]): number =>
  fields.reduce((bits, field) => bits | (1 << field), 0);

const fieldsOfCheck = { attributes: 1, bits: bitsOf(1) } as const;
const fieldsOfAttributes = {
  request: 4,
  contextExtensions: 10,
  bits: bitsOf(1, 2, 4, 10, 11, 12, 13),
} as const;
const fieldsOfRequest = { http: 2, bits: bitsOf(1, 2) } as const;
const fieldsOfHttp = {
  method: 2,
  headers: 3,
  path: 4,
  host: 5,
  /** The only number in the message. If it is length-delimited the message is malformed. */
  size: 9,
  headerMap: 13,
  read: bitsOf(2, 3, 4, 5, 13),
  bits: bitsOf(1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13),
} as const;
const fieldsOfHeaderMap = { headers: 1, bits: bitsOf(1) } as const;
/** Of a `HeaderValue`, and of an entry of the map `headers`, which has no raw value. */
const fieldsOfHeader = { key: 1, value: 2, rawValue: 3, bits: bitsOf(1, 2, 3) } as const;

/**
 * Decodes the part of a check request that a decision needs; a full decoder would allocate ten times as much.
 * Bytes that aren't a message are malformed, and so are messages that two decoders could read differently: a
 * singular field that is present twice, or a name that is present twice in a map.
 * Cost: below a microsecond for a browser's request, with `wanted`.
 * @param wanted the headers that are read; default all
 * @param findToken finds a token that was verified before: its text is not decoded again; default none
 * @see envoy/service/auth/v3/attribute_context.proto
 */
export function createCheckRequestDecoder(
  wanted?: WantedHeaders,
  findToken: TokenFinder = () => undefined,
): CheckRequestDecoder {
  const decoder = new Decoder(wanted === undefined ? everyHeader : createHeaderFinder(wanted), findToken);
  return (bytes) => decoder.decode(bytes);
}

const everyHeader: HeaderFinder = (bytes, start, end) => bytes.toString('utf8', start, end).toLowerCase();

const absent = -1;
const noBytes: Buffer = Buffer.alloc(0);

type Draft = {
  method: string;
  host: string;
  path: string;
  readonly headers: Map<string, string[]>;
  contextExtensions: ReadonlyMap<string, string>;
  knownToken: TokenEntry | undefined;
};

const noExtensions: ReadonlyMap<string, string> = new Map();

const emptyRequest = (): Draft => ({
  method: '',
  host: '',
  path: '',
  headers: new Map(),
  contextExtensions: noExtensions,
  knownToken: undefined,
});

/** One object decodes all requests, one after the other. */
class Decoder {
  readonly #findHeader: HeaderFinder;
  readonly #readExtensions: ContextExtensions = createContextExtensions();
  readonly #findBearer: TokenFinder;
  readonly #wire = new WireReader(noBytes);
  #bytes = noBytes;
  #request = emptyRequest();
  #headerCount = 0;
  #hasHttp = false;
  #extensionsStart = -1;
  #extensionsEnd = -1;

  constructor(findHeader: HeaderFinder, findToken: TokenFinder) {
    this.#findHeader = findHeader;
    this.#findBearer = createBearerFinder(findToken);
  }

  decode(bytes: Buffer): CheckRequest | undefined | typeof malformedRequest {
    this.#bytes = bytes;
    this.#wire.reset(bytes);
    this.#request = emptyRequest();
    this.#headerCount = 0;
    this.#hasHttp = false;
    this.#extensionsStart = -1;
    if (!this.#readCheck(bytes.length)) return malformedRequest;
    if (!this.#hasHttp || this.#headerCount > maxHeaders) return undefined;
    const extensions = this.#readExtensions(bytes, this.#extensionsStart, this.#extensionsEnd);
    if (extensions === 'malformed') return malformedRequest;
    if (extensions === 'too_many') return undefined;
    this.#request.contextExtensions = extensions;
    return this.#request;
  }

  #readCheck(end: number): boolean {
    const wire = this.#wire;
    let seen = false;
    for (;;) {
      const field = wire.next(end, fieldsOfCheck.bits);
      if (field <= endOfMessage) return field === endOfMessage;
      if (field !== fieldsOfCheck.attributes) continue;
      if (seen || !this.#readAttributes(wire.start, wire.end)) return false;
      seen = true;
    }
  }

  #readAttributes(start: number, end: number): boolean {
    const wire = this.#wire;
    wire.seek(start);
    let seen = false;
    for (let from = start; ; from = wire.end) {
      const field = wire.next(end, fieldsOfAttributes.bits);
      if (field <= endOfMessage) return field === endOfMessage;
      if (field === fieldsOfAttributes.contextExtensions) {
        if (this.#extensionsStart === -1) this.#extensionsStart = from;
        this.#extensionsEnd = wire.end;
      } else if (field === fieldsOfAttributes.request) {
        const requestEnd = wire.end;
        if (seen || !this.#readRequest(wire.start, requestEnd)) return false;
        seen = true;
        wire.end = requestEnd;
      }
    }
  }

  #readRequest(start: number, end: number): boolean {
    const wire = this.#wire;
    wire.seek(start);
    for (;;) {
      const field = wire.next(end, fieldsOfRequest.bits);
      if (field <= endOfMessage) return field === endOfMessage;
      if (field !== fieldsOfRequest.http) continue;
      if (this.#hasHttp || !this.#readHttp(wire.start, wire.end)) return false;
      this.#hasHttp = true;
    }
  }

  #readHttp(start: number, end: number): boolean {
    const wire = this.#wire;
    wire.seek(start);
    let seen = 0;
    for (;;) {
      const field = wire.next(end, fieldsOfHttp.bits);
      if (field <= endOfMessage) return field === endOfMessage;
      if (field === fieldsOfHttp.headers) {
        if (!this.#readHeader(wire.start, wire.end, true)) return false;
        continue;
      }
      if (field === fieldsOfHttp.size) return false;
      if (field > fieldsOfHttp.headerMap || ((fieldsOfHttp.read >>> field) & 1) === 0) continue;
      if (((seen >>> field) & 1) === 1) return false;
      seen |= 1 << field;
      if (field === fieldsOfHttp.method) this.#request.method = this.#text(wire.start, wire.end);
      else if (field === fieldsOfHttp.path) this.#request.path = this.#text(wire.start, wire.end);
      else if (field === fieldsOfHttp.host) this.#request.host = this.#text(wire.start, wire.end);
      else if (!this.#readHeaderMap(wire.start, wire.end)) return false;
    }
  }

  /** `header_map`: what Envoy sends with `encode_raw_headers`, instead of `headers`. */
  #readHeaderMap(start: number, end: number): boolean {
    const wire = this.#wire;
    wire.seek(start);
    for (;;) {
      const field = wire.next(end, fieldsOfHeaderMap.bits);
      if (field <= endOfMessage) return field === endOfMessage;
      if (field === fieldsOfHeaderMap.headers && !this.#readHeader(wire.start, wire.end, false)) return false;
    }
  }

  /** True for most headers: a short name that is not wanted, then the value, each once. */
  #isPlainAndUnwanted(start: number, end: number): boolean {
    const bytes = this.#bytes;
    const nameStart = start + 2;
    const nameEnd = nameStart + (bytes[start + 1] ?? 0);
    if (bytes[start] !== 0x0a || nameEnd - nameStart > 0x7f || bytes[nameEnd] !== 0x12) return false;
    // The value's length takes one or two bytes, and the value must fill the rest.
    const low = bytes[nameEnd + 1] ?? 0;
    const high = bytes[nameEnd + 2] ?? 0x80;
    const isWhole =
      low < 0x80
        ? nameEnd + 2 + low === end
        : high < 0x80 && nameEnd + 3 + (low & 0x7f) + high * 0x80 === end;
    return isWhole && this.#findHeader(bytes, nameStart, nameEnd) === undefined;
  }

  /** Reads an entry of the map `headers`, or a `HeaderValue` of `header_map`, which may have a raw value. */
  #readHeader(start: number, end: number, isEntry: boolean): boolean {
    const wire = this.#wire;
    wire.seek(start);
    this.#headerCount += 1;
    if (this.#isPlainAndUnwanted(start, end)) {
      wire.seek(end);
      return true;
    }
    let keyStart = absent;
    let keyEnd = 0;
    let valueStart = absent;
    let valueEnd = absent;
    let rawStart = absent;
    let rawEnd = 0;
    for (;;) {
      const field = wire.next(end, fieldsOfHeader.bits);
      if (field === endOfMessage) break;
      if (field === malformedMessage) return false;
      if (field === fieldsOfHeader.key) {
        if (keyStart !== absent) return false;
        keyStart = wire.start;
        keyEnd = wire.end;
      } else if (field === fieldsOfHeader.value) {
        if (valueStart !== absent) return false;
        valueStart = wire.start;
        valueEnd = wire.end;
      } else if (field === fieldsOfHeader.rawValue && !isEntry) {
        if (rawStart !== absent) return false;
        rawStart = wire.start;
        rawEnd = wire.end;
      }
    }
    // In a map an absent key is the empty key; a `HeaderValue` without a key is ignored.
    if (keyStart === absent && !isEntry) return true;
    const name = this.#findHeader(this.#bytes, keyStart === absent ? keyEnd : keyStart, keyEnd);
    if (name === undefined) return true;
    const value =
      rawStart === absent
        ? (this.#knownBearer(valueStart, valueEnd) ?? this.#text(valueStart, valueEnd))
        : (this.#knownBearer(rawStart, rawEnd) ?? this.#rawText(rawStart, rawEnd));
    return this.#add(name, value, isEntry);
  }

  /** Returns false for a name that the map holds twice; names that differ in case count as equal. */
  #add(name: string, value: string, isEntry: boolean): boolean {
    const { headers } = this.#request;
    const values = headers.get(name);
    if (values === undefined) headers.set(name, [value]);
    else if (isEntry) return false;
    else values.push(value);
    return true;
  }

  /** The header value of a token that was verified before; undefined for all other values. */
  #knownBearer(start: number, end: number): string | undefined {
    const entry = this.#findBearer(this.#bytes, start, end);
    if (entry === undefined) return undefined;
    this.#request.knownToken = entry;
    return entry.headerText;
  }

  #text(start: number, end: number): string {
    return start === end ? '' : this.#bytes.toString('utf8', start, end);
  }

  /** Decodes UTF-8, and Latin-1 if the bytes are not UTF-8. */
  #rawText(start: number, end: number): string {
    const text = this.#text(start, end);
    // U+FFFD is either in the header itself, or replaces bytes that are not UTF-8.
    if (!text.includes('\ufffd') || isUtf8(this.#bytes.subarray(start, end))) return text;
    return this.#bytes.toString('latin1', start, end);
  }
}
