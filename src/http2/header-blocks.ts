import { protocolError, type ConnectionError } from './frame-validation.ts';
import type { Frame } from './frame-reader.ts';
import { errorCodes, frameFlags, frameTypes } from './frames.ts';
import { HeaderDecoder, type HeaderBounds } from './header-decoder.ts';
import type { HeaderField } from './header-table.ts';
import { unpooledCopy } from './unpooled-copy.ts';
import { readRequestHead, type RequestHead } from './request-head.ts';

/** A complete, decoded header block. */
export type HeaderBlock = {
  readonly stream: number;
  readonly endStream: boolean;
  /**
   * `too_large`: the list exceeds its bounds. The block was decoded all the same, so the header table is in
   * step.
   */
  readonly fields: readonly HeaderField[] | 'too_large';
  /** The fields as a request's head. undefined when they are malformed as such, or are trailers. */
  readonly head: RequestHead | undefined;
};

/**
 * HEADERS and CONTINUATION frames of one block. Without a bound, empty CONTINUATION frames could go on for
 * ever.
 */
const maxFrames = 64;

/** The longest block that is cached; bytes. The blocks of proxies are a few hundred bytes long. */
const maxCachedBytes = 4096;

type PartialBlock = {
  readonly stream: number;
  readonly endStream: boolean;
  readonly parts: Buffer[];
  length: number;
};
type CachedBlock = { readonly bytes: Buffer; readonly tableChanges: number; readonly block: HeaderBlock };

/**
 * Assembles and decodes header blocks. A client sends nearly the same block with every request, so the last
 * block is cached under its bytes. The cached result holds only while the header table has not changed.
 * @see RFC 9113 §6.2, §6.10
 */
export class HeaderBlocks {
  readonly #decoder: HeaderDecoder;
  readonly #maxBytes: number;
  #partial: PartialBlock | undefined;
  #cached: CachedBlock | undefined;

  constructor(bounds: HeaderBounds) {
    this.#decoder = new HeaderDecoder(bounds);
    this.#maxBytes = bounds.maxListBytes;
  }

  /** A block is incomplete: the next frame must be its CONTINUATION. */
  get isIncomplete(): boolean {
    return this.#partial !== undefined;
  }

  /** Takes a HEADERS or CONTINUATION frame. @returns undefined while the block is incomplete */
  receive(frame: Frame): HeaderBlock | ConnectionError | undefined {
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
      // RFC 7540 §5.3.1: a stream cannot depend on itself. Priorities are ignored otherwise.
      if (to - from >= 5 && (bytes.readUInt32BE(from) & 0x7fffffff) === stream)
        return protocolError('stream that depends on itself');
      from += 5;
    }
    if (to < from) return protocolError('HEADERS with more padding than payload');
    const endStream = (flags & frameFlags.endStream) !== 0;
    if ((flags & frameFlags.endHeaders) !== 0)
      return this.#decode(stream, endStream, bytes.subarray(from, to));
    this.#partial = { stream, endStream, parts: [unpooledCopy(bytes.subarray(from, to))], length: to - from };
    return undefined;
  }

  #continue({ bytes, start, end, flags, stream }: Frame): HeaderBlock | ConnectionError | undefined {
    const partial = this.#partial;
    if (partial === undefined || partial.stream !== stream)
      return protocolError('CONTINUATION without a header block');
    partial.parts.push(unpooledCopy(bytes.subarray(start, end)));
    partial.length += end - start;
    if (partial.length > this.#maxBytes || partial.parts.length > maxFrames)
      return { code: errorCodes.enhanceYourCalm, message: 'header block above the limit' };
    if ((flags & frameFlags.endHeaders) === 0) return undefined;
    this.#partial = undefined;
    return this.#decode(stream, partial.endStream, Buffer.concat(partial.parts));
  }

  #decode(stream: number, endStream: boolean, bytes: Buffer): HeaderBlock | ConnectionError {
    const { tableChanges } = this.#decoder;
    const cached = this.#cached;
    if (cached !== undefined && cached.tableChanges === tableChanges && cached.bytes.equals(bytes))
      return { stream, endStream, fields: cached.block.fields, head: cached.block.head };
    const fields = this.#decoder.decode(bytes);
    if (fields === 'malformed')
      return { code: errorCodes.compressionError, message: 'malformed header block' };
    const head = fields === 'too_large' ? undefined : readRequestHead(fields);
    const block: HeaderBlock = { stream, endStream, fields, head };
    // A block that changes the table would do so again, so it must be decoded each time.
    if (tableChanges === this.#decoder.tableChanges && bytes.length <= maxCachedBytes)
      this.#cached = { bytes: unpooledCopy(bytes), tableChanges, block };
    return block;
  }
}
