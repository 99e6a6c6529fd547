import { createConnection, type Socket } from 'node:net';
import { frameFlags, frameTypes, preface } from '../../src/http2/frames.ts';

/** A frame as it was received. */
export type SeenFrame = {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
};

export type GoneAway = { readonly last: number; readonly code: number };

export type Fields = readonly (readonly [name: string, value: string])[];

const headBytes = 9;
const timeoutMs = 10_000;

/** Encodes one frame, valid or not. */
export function frame(type: number, flags: number, stream: number, payload: Buffer | string = ''): Buffer {
  const bytes = Buffer.from(payload);
  const head = Buffer.alloc(headBytes);
  head.writeUIntBE(bytes.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, bytes]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export const settingsFrame = (settings: readonly (readonly [id: number, value: number])[]): Buffer =>
  frame(
    frameTypes.settings,
    0,
    0,
    Buffer.concat(settings.flatMap(([id, value]) => [Buffer.from([0, id]), uint32(value)])),
  );

export const windowFrame = (stream: number, increment: number): Buffer =>
  frame(frameTypes.windowUpdate, 0, stream, uint32(increment));

export const resetFrame = (stream: number, code: number): Buffer =>
  frame(frameTypes.resetStream, 0, stream, uint32(code));

export const pingFrame = (payload: string): Buffer => frame(frameTypes.ping, 0, 0, payload);

export const headersFrame = (stream: number, fields: Fields, flags: number): Buffer =>
  frame(frameTypes.headers, flags | frameFlags.endHeaders, stream, headerBlock(fields));

/** Splits a body into frames of 16 KiB at most. The last one has END_STREAM, unless `endStream` is false. */
export function dataFrames(stream: number, body: Buffer, endStream = true): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < body.length || frames.length === 0; at += 16_384) {
    const isLast = endStream && at + 16_384 >= body.length;
    const flags = isLast ? frameFlags.endStream : 0;
    frames.push(frame(frameTypes.data, flags, stream, body.subarray(at, at + 16_384)));
  }
  return frames;
}

/** Literals without Huffman coding: RFC 7541 §6.2.2, or with incremental indexing §6.2.1. */
export const headerBlock = (fields: Fields, indexed = false): Buffer =>
  Buffer.concat(
    fields.flatMap(([name, value]) => [Buffer.from([indexed ? 0x40 : 0]), literal(name), literal(value)]),
  );

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length = [Math.min(bytes.length, 127)];
  if (bytes.length >= 127) {
    let rest = bytes.length - 127;
    for (; rest >= 128; rest >>>= 7) length.push((rest & 127) | 128);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

export const requestFields = (path = '/', more: Fields = []): Fields => [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', path],
  [':authority', 'test'],
  ...more,
];

/** HEADERS of a request whose body follows. */
export const openFrame = (stream: number, path = '/', more: Fields = []): Buffer =>
  headersFrame(stream, requestFields(path, more), 0);

/** A complete request. */
export const request = (stream: number, body: Buffer | string, path = '/', more: Fields = []): Buffer =>
  Buffer.concat([openFrame(stream, path, more), ...dataFrames(stream, Buffer.from(body))]);

/** A client that sends any bytes, and records the frames that it receives. */
export class RawClient {
  readonly socket: Socket;
  readonly frames: SeenFrame[] = [];
  isClosed = false;
  #rest: Buffer = Buffer.alloc(0);
  #pings = 0;
  readonly #waiting = new Set<() => void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    // An error is followed by `close`.
    socket.on('error', () => {});
    socket.on('connect', () => this.#wake());
    socket.on('close', () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  static async connect(port: number): Promise<RawClient> {
    return RawClient.over(createConnection({ port, host: '127.0.0.1', noDelay: true }));
  }

  /** On a connection that was opened some other way. */
  static async over(socket: Socket): Promise<RawClient> {
    const client = new RawClient(socket);
    await client.waitFor('the connection', () => (socket.connecting ? undefined : true));
    return client;
  }

  send(...bytes: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** The preface and SETTINGS. */
  hello(settings: readonly (readonly [id: number, value: number])[] = []): void {
    this.send(preface, settingsFrame(settings));
  }

  /**
   * Calls `ask` whenever something has arrived.
   * @returns its first result that isn't undefined; throws after 10 s
   */
  async waitFor<T>(what: string, ask: () => T | undefined): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const look = (): void => {
      const answer = ask();
      if (answer !== undefined) resolve(answer);
    };
    const timer = setTimeout(() => reject(new Error(`not within ${timeoutMs} ms: ${what}`)), timeoutMs);
    this.#waiting.add(look);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }

  of(stream: number, type: number): SeenFrame[] {
    return this.frames.filter((frame) => frame.stream === stream && frame.type === type);
  }

  body(stream: number): Buffer {
    return Buffer.concat(this.of(stream, frameTypes.data).map(({ payload }) => payload));
  }

  isAnswered(stream: number): boolean {
    return this.of(stream, frameTypes.headers).some(({ flags }) => (flags & frameFlags.endStream) !== 0);
  }

  resetCode(stream: number): number | undefined {
    return this.of(stream, frameTypes.resetStream)[0]?.payload.readUInt32BE(0);
  }

  goneAway(): GoneAway[] {
    return this.of(0, frameTypes.goAway).map(({ payload }) => ({
      last: payload.readUInt32BE(0),
      code: payload.readUInt32BE(4),
    }));
  }

  /** The body of a complete response. Throws when the stream was reset or the connection has closed. */
  async answer(stream: number): Promise<string> {
    return await this.waitFor(`the answer on stream ${stream}`, () => {
      if (this.isAnswered(stream)) return this.body(stream).toString('latin1');
      const code = this.resetCode(stream);
      if (code !== undefined) throw new Error(`stream ${stream} was reset with ${code}`);
      if (this.isClosed) throw new Error(`closed, after ${JSON.stringify(this.goneAway())}`);
      return undefined;
    });
  }

  async reset(stream: number): Promise<number> {
    return await this.waitFor(`a reset of stream ${stream}`, () => this.resetCode(stream));
  }

  async closed(): Promise<void> {
    await this.waitFor('the end of the connection', () => this.isClosed || undefined);
  }

  /** Resolves when the server has handled everything that was sent before: it sends a PING. */
  async handled(): Promise<void> {
    this.#pings += 1;
    const payload = Buffer.from(String(this.#pings).padStart(8, '0'));
    this.send(frame(frameTypes.ping, 0, 0, payload));
    await this.waitFor(`the answer to ping ${this.#pings}`, () => {
      const isAnswered = this.of(0, frameTypes.ping).some((seen) => seen.payload.equals(payload));
      if (isAnswered) return true;
      if (this.isClosed) throw new Error(`closed, after ${JSON.stringify(this.goneAway())}`);
      return undefined;
    });
  }

  /** Sends FIN. */
  end(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  #take(bytes: Buffer): void {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    for (;;) {
      if (this.#rest.length - at < headBytes) break;
      const end = at + headBytes + this.#rest.readUIntBE(at, 3);
      if (end > this.#rest.length) break;
      this.frames.push({
        type: this.#rest[at + 3] ?? 0,
        flags: this.#rest[at + 4] ?? 0,
        stream: this.#rest.readUInt32BE(at + 5),
        payload: this.#rest.subarray(at + headBytes, end),
      });
      at = end;
    }
    this.#rest = this.#rest.subarray(at);
    this.#wake();
  }

  #wake(): void {
    for (const look of this.#waiting) look();
  }
}
