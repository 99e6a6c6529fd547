import { isUtf8 } from 'node:buffer';
import { malformedRequest } from '../grpc/method.ts';
import { createContextExtensions, type ContextExtensions } from './context-extensions.ts';
import type { CheckRequest } from '../check/check-request.ts';
import { bearerPrefix } from '../token/bearer.ts';
import type { TokenEntry } from '../token/token-table.ts';
import { createHeaderFinder, type HeaderFinder, type WantedHeaders } from './wanted-headers.ts';
import { endOfMessage, malformedMessage, WireReader } from '../protobuf/wire-reader.ts';

/**
 * Reads Envoy's message. Never throws.
 * @returns undefined when the message has no HTTP attributes, or more headers or context extensions than any proxy
 *   would send: either way nothing can be decided, so the request is refused. Leaving out the excess would leave out
 *   headers that have to be stripped.
 */
export type CheckRequestDecoder = (bytes: Buffer) => CheckRequest | undefined | typeof malformedRequest;

// Envoy's own limit is 100 headers unless configured higher (max_headers_count).
const maxHeaders = 1024;

// Field numbers, and the bits of all that are length-delimited, also of those that are passed over: a reader that goes
// by the number alone would find other fields behind one of another wire type.
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
  /** The only number in the message. */
  size: 9,
  headerMap: 13,
  read: bitsOf(2, 3, 4, 5, 13),
  bits: bitsOf(1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13),
} as const;
const fieldsOfHeaderMap = { headers: 1, bits: bitsOf(1) } as const;
/** Of a `HeaderValue`; of an entry of a map too, which has no raw value. */
const fieldsOfHeader = { key: 1, value: 2, rawValue: 3, bits: bitsOf(1, 2, 3) } as const;

/**
 * Reads of a check request what a decision needs, straight from its bytes: a full decoder would make texts and objects
 * of ten times as much. What isn't needed is passed over unread. Refused are bytes that are no message, and messages
 * that readers could take differently: a field twice that may be there once, or a name twice in a map.
 * Cost: below a microsecond for a browser's request, with `wanted`.
 * @param wanted the headers that someone looks at; default all
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

/** Finds what is known of the token in a stretch of bytes. */
export type TokenFinder = (bytes: Buffer, start: number, end: number) => TokenEntry | undefined;

// The prefix as two numbers that overlap: comparing them allocates nothing.
const prefixBytes = Buffer.from(bearerPrefix, 'latin1');
const prefixStart = prefixBytes.readInt32LE(0);
const prefixRest = prefixBytes.readInt32LE(3);

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

/** One for all requests: a request is read in one go. */
class Decoder {
  readonly #findHeader: HeaderFinder;
  readonly #readExtensions: ContextExtensions = createContextExtensions();
  readonly #findToken: TokenFinder;
  readonly #wire = new WireReader(noBytes);
  #bytes = noBytes;
  #request = emptyRequest();
  #headerCount = 0;
  #hasHttp = false;
  #extensionsStart = -1;
  #extensionsEnd = -1;

  constructor(findHeader: HeaderFinder, findToken: TokenFinder) {
    this.#findHeader = findHeader;
    this.#findToken = findToken;
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

  /** True for what nearly all headers are: a short name that nobody looks at, and a value, each once and in this order. */
  #isPlainAndUnwanted(start: number, end: number): boolean {
    const bytes = this.#bytes;
    const nameStart = start + 2;
    const nameEnd = nameStart + (bytes[start + 1] ?? 0);
    if (bytes[start] !== 0x0a || nameEnd - nameStart > 0x7f || bytes[nameEnd] !== 0x12) return false;
    // A length of one or two bytes, after which the value is all that is left.
    const low = bytes[nameEnd + 1] ?? 0;
    const high = bytes[nameEnd + 2] ?? 0x80;
    const isWhole =
      low < 0x80
        ? nameEnd + 2 + low === end
        : high < 0x80 && nameEnd + 3 + (low & 0x7f) + high * 0x80 === end;
    return isWhole && this.#findHeader(bytes, nameStart, nameEnd) === undefined;
  }

  /** An entry of the map `headers`, or a `HeaderValue` of `header_map`: the same but for the raw value. */
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
    // An entry's absent key is the empty one; a header without a name is none.
    if (keyStart === absent && !isEntry) return true;
    const name = this.#findHeader(this.#bytes, keyStart === absent ? keyEnd : keyStart, keyEnd);
    if (name === undefined) return true;
    const value =
      rawStart === absent
        ? (this.#knownBearer(valueStart, valueEnd) ?? this.#text(valueStart, valueEnd))
        : (this.#knownBearer(rawStart, rawEnd) ?? this.#rawText(rawStart, rawEnd));
    return this.#add(name, value, isEntry);
  }

  /** False for a name that a map holds twice, whatever its spelling. */
  #add(name: string, value: string, isEntry: boolean): boolean {
    const { headers } = this.#request;
    const values = headers.get(name);
    if (values === undefined) headers.set(name, [value]);
    else if (isEntry) return false;
    else values.push(value);
    return true;
  }

  /** The text of `Bearer` and a token that was verified before; undefined for all other values. */
  #knownBearer(start: number, end: number): string | undefined {
    const bytes = this.#bytes;
    const tokenStart = start + bearerPrefix.length;
    if (
      end - tokenStart < 1 ||
      bytes.readInt32LE(start) !== prefixStart ||
      bytes.readInt32LE(start + 3) !== prefixRest
    )
      return undefined;
    const entry = this.#findToken(bytes, tokenStart, end);
    if (entry === undefined) return undefined;
    this.#request.knownToken = entry;
    return (entry.headerText ??= bearerPrefix + entry.token);
  }

  #text(start: number, end: number): string {
    return start === end ? '' : this.#bytes.toString('utf8', start, end);
  }

  /** UTF-8, else Latin-1. */
  #rawText(start: number, end: number): string {
    const text = this.#text(start, end);
    // Only what can't be decoded is replaced, or was that very character before.
    if (!text.includes('\ufffd') || isUtf8(this.#bytes.subarray(start, end))) return text;
    return this.#bytes.toString('latin1', start, end);
  }
}
