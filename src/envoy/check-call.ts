import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { AuthorizationService, Reply } from './authorization-service.ts';
import { parseTimeout } from '../grpc/timeout.ts';
import { malformed } from './check-request.ts';
import { grpcPrefixBytes } from './encoded-response.ts';
import { grpcStatus } from '../grpc/grpc-status.ts';
import { checkPath } from './method-names.ts';

const head: OutgoingHttpHeaders = { ':status': 200, 'content-type': 'application/grpc' };
// gRPC knows no `date`; it would be one header more for each side.
const headOptions = { waitForTrailers: true, sendDate: false };
const okTrailers: OutgoingHttpHeaders = { 'grpc-status': String(grpcStatus.ok) };
const noChunks: Buffer[] = [];

export type CheckCallOptions = {
  readonly service: AuthorizationService;
  readonly maxMessageBytes: number;
};

/**
 * True for a call as Envoy makes it, which a `CheckCall` can answer. All others are grpc-js's: other methods, other
 * content types, compressed messages, deadlines that are none.
 */
export function isPlainCheck(headers: IncomingHttpHeaders): boolean {
  return (
    headers[':path'] === checkPath &&
    headers[':method'] === 'POST' &&
    headers['content-type'] === 'application/grpc' &&
    (headers['grpc-encoding'] ?? 'identity') === 'identity' &&
    (headers['grpc-timeout'] === undefined || timeoutMs(headers) !== undefined)
  );
}

/** The time that the caller gives; undefined when it gives none. */
export function timeoutMs(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['grpc-timeout'];
  return typeof text === 'string' ? parseTimeout(text) : undefined;
}

/** The call on a stream until it is answered. A property, so that all streams share the same listeners. */
const callOf: unique symbol = Symbol('check call');
type CallStream = ServerHttp2Stream & { [callOf]?: CheckCall | undefined };

/**
 * One call of `Authorization/Check`, answered on its HTTP/2 stream: one message in, one out, a status.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
export class CheckCall implements Reply {
  readonly #stream: CallStream;
  readonly #options: CheckCallOptions;
  readonly #timeoutMs: number | undefined;
  #chunks = noChunks;
  #received = 0;
  /** Of the message with its prefix; undefined until the prefix is here. */
  #length: number | undefined;
  #isOver = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, options: CheckCallOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#timeoutMs = timeoutMs(headers);
    this.#stream[callOf] = this;
    // A stream that fails is closed too, and there is nobody left to tell.
    stream.on('error', ignore);
    stream.on('data', receive);
    stream.on('end', decide);
  }

  get isOver(): boolean {
    return this.#isOver || this.#stream.closed || this.#stream.destroyed;
  }

  get hasDeadline(): boolean {
    return this.#timeoutMs !== undefined;
  }

  /** Fails it when the time is up that its caller gives, counted from now. */
  watchDeadline(): void {
    const timer = setTimeout(
      () => this.fail(grpcStatus.deadlineExceeded, 'deadline exceeded'),
      this.#timeoutMs,
    );
    this.#stream.once('close', () => clearTimeout(timer));
  }

  /** Ends the call with an error, unless it is over. */
  fail(code: number, message: string): void {
    if (this.isOver) return;
    this.#end();
    const trailers = { 'grpc-status': String(code), 'grpc-message': message };
    this.#stream.respond({ ...head, ...trailers }, { endStream: true });
  }

  receive(chunk: Buffer): void {
    if (this.#isOver) return;
    if (this.#chunks === noChunks) this.#chunks = [chunk];
    else this.#chunks.push(chunk);
    this.#received += chunk.length;
    if (this.#length === undefined && this.#received >= grpcPrefixBytes) this.#readPrefix();
    if (this.#length !== undefined && this.#received > this.#length)
      this.fail(grpcStatus.unimplemented, 'more than one message');
  }

  #readPrefix(): void {
    const bytes = this.#bytes();
    this.#length = grpcPrefixBytes + bytes.readUInt32BE(1);
    if (bytes[0] !== 0) this.fail(grpcStatus.internal, 'a compressed message without an encoding');
    else if (this.#length - grpcPrefixBytes > this.#options.maxMessageBytes)
      this.fail(grpcStatus.resourceExhausted, 'message larger than the limit');
  }

  /** What has arrived, in one piece. */
  #bytes(): Buffer {
    const [first] = this.#chunks;
    if (first !== undefined && this.#chunks.length === 1) return first;
    const bytes = Buffer.concat(this.#chunks);
    this.#chunks = [bytes];
    return bytes;
  }

  /** The caller has sent all. */
  decide(): void {
    if (this.isOver) return;
    if (this.#received !== this.#length) return this.fail(grpcStatus.internal, 'no whole message');
    const request = this.#options.service.decode(this.#bytes().subarray(grpcPrefixBytes));
    if (request === malformed) return this.fail(grpcStatus.internal, 'malformed check request');
    this.#chunks = noChunks;
    this.#options.service.answer(request, this);
  }

  send(response: Buffer): void {
    if (this.isOver) return;
    this.#end();
    const stream = this.#stream;
    stream.respond(head, headOptions);
    forgetSent(stream, 'sent-headers');
    stream.on('wantTrailers', sendOk);
    stream.end(response);
  }

  #end(): void {
    this.#isOver = true;
    this.#chunks = noChunks;
    this.#stream[callOf] = undefined;
  }
}

function ignore(): void {}

function receive(this: CallStream, chunk: Buffer): void {
  this[callOf]?.receive(chunk);
}

function decide(this: CallStream): void {
  this[callOf]?.decide();
}

function sendOk(this: ServerHttp2Stream): void {
  this.sendTrailers(okTrailers);
  forgetSent(this, 'sent-trailers');
}

/** Null where Node has no such field. */
const sentFields = new Map<string, symbol | null>();

/**
 * Drops what Node keeps for the getters `sentHeaders` and `sentTrailers`. A closed stream stays in memory until a full
 * collection (docs/performance.md), so each byte it holds is paid for twice. Does nothing where Node keeps it elsewhere.
 */
function forgetSent(stream: ServerHttp2Stream, name: 'sent-headers' | 'sent-trailers'): void {
  let field = sentFields.get(name);
  if (field === undefined) {
    field = Object.getOwnPropertySymbols(stream).find(({ description }) => description === name) ?? null;
    sentFields.set(name, field);
  }
  if (field === null) return;
  Reflect.set(stream, field, undefined);
}
