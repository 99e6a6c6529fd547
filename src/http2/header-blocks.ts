import { protocolError, type ConnectionError } from './frame-validation.ts';
import type { Frame } from './frame-reader.ts';
import { errorCodes, frameFlags, frameTypes } from './frames.ts';
import { HeaderDecoder, type HeaderBounds } from './header-decoder.ts';
import type { HeaderField } from './header-table.ts';
import { ownCopy } from './unpooled-copy.ts';
import { readRequestHead, type RequestHead } from './request-head.ts';

/** A header block that is whole. */
export type HeaderBlock = {
  readonly stream: number;
  readonly endStream: boolean;
  /** `too_large`: over the bounds, though the table has followed it. */
  readonly fields: readonly HeaderField[] | 'too_large';
  /** Of a request; undefined if the fields can't be one's. */
  readonly head: RequestHead | undefined;
};

// A block without a field more in each frame would never end.
const maxFrames = 64;

/** Of a block that is kept to be recognised: those of proxies are shorter by far; octets. */
const mostKnownBytes = 4096;

type Begun = {
  readonly stream: number;
  readonly endStream: boolean;
  readonly parts: Buffer[];
  length: number;
};
type Known = { readonly bytes: Buffer; readonly changes: number; readonly block: HeaderBlock };

/**
 * Puts header blocks together and decodes them. Clients send nearly the same block for each request, so the last one
 * is recognised by its octets.
 * @see RFC 9113 §6.2, §6.10
 */
export class HeaderBlocks {
  readonly #decoder: HeaderDecoder;
  readonly #maxBytes: number;
  #begun: Begun | undefined;
  #known: Known | undefined;

  constructor(bounds: HeaderBounds) {
    this.#decoder = new HeaderDecoder(bounds);
    this.#maxBytes = bounds.maxListBytes;
  }

  /** Nothing but CONTINUATION may come. */
  get isOpen(): boolean {
    return this.#begun !== undefined;
  }

  /** @returns undefined while it isn't whole */
  take(frame: Frame): HeaderBlock | ConnectionError | undefined {
    return frame.type === frameTypes.headers ? this.#begin(frame) : this.#continue(frame);
  }

  #begin({ bytes, start, end, flags, stream }: Frame): HeaderBlock | ConnectionError | undefined {
    let from = start;
    let to = end;
    if ((flags & frameFlags.padded) !== 0) {
      to -= bytes[from] ?? 0;
      from += 1;
    }
    if ((flags & frameFlags.priority) !== 0) {
      // RFC 7540 §5.3.1: a stream can't depend on itself. Priorities mean nothing else here.
      if (to - from >= 5 && (bytes.readUInt32BE(from) & 0x7fffffff) === stream)
        return protocolError('a stream that depends on itself');
      from += 5;
    }
    if (to < from) return protocolError('more padding than header block');
    const endStream = (flags & frameFlags.endStream) !== 0;
    if ((flags & frameFlags.endHeaders) !== 0)
      return this.#decode(stream, endStream, bytes.subarray(from, to));
    this.#begun = { stream, endStream, parts: [ownCopy(bytes.subarray(from, to))], length: to - from };
    return undefined;
  }

  #continue({ bytes, start, end, flags, stream }: Frame): HeaderBlock | ConnectionError | undefined {
    const begun = this.#begun;
    if (begun === undefined || begun.stream !== stream)
      return protocolError('a continuation of no header block');
    begun.parts.push(ownCopy(bytes.subarray(start, end)));
    begun.length += end - start;
    if (begun.length > this.#maxBytes || begun.parts.length > maxFrames)
      return { code: errorCodes.enhanceYourCalm, message: 'a header block larger than allowed' };
    if ((flags & frameFlags.endHeaders) === 0) return undefined;
    this.#begun = undefined;
    return this.#decode(stream, begun.endStream, Buffer.concat(begun.parts));
  }

  #decode(stream: number, endStream: boolean, bytes: Buffer): HeaderBlock | ConnectionError {
    const changes = this.#decoder.tableChanges;
    const known = this.#known;
    if (known !== undefined && known.changes === changes && known.bytes.equals(bytes))
      return { stream, endStream, fields: known.block.fields, head: known.block.head };
    const fields = this.#decoder.decode(bytes);
    if (fields === 'malformed')
      return { code: errorCodes.compressionError, message: 'a header block that is none' };
    const head = fields === 'too_large' ? undefined : readRequestHead(fields);
    const block: HeaderBlock = { stream, endStream, fields, head };
    if (changes === this.#decoder.tableChanges && bytes.length <= mostKnownBytes)
      this.#known = { bytes: ownCopy(bytes), changes, block };
    return block;
  }
}
