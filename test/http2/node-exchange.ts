import { once } from 'node:events';
import { connect, type ClientHttp2Session } from 'node:http2';
import { createServer, type Server, type Socket } from 'node:net';
import { frameFlags, frameTypes, preface, settingIds } from '../../src/http2/frames.ts';
import type { HeaderField } from '../../src/http2/header-table.ts';
import { frame, settingsFrame } from './raw-client.ts';

type Options = {
  /** The header block of each response; default `:status: 200`. */
  readonly answer?: () => Buffer;
  /** The client's SETTINGS_HEADER_TABLE_SIZE; bytes. */
  readonly headerTableSize?: number;
  /** Called with each SETTINGS_HEADER_TABLE_SIZE of the client. */
  readonly onTableSize?: (size: number) => void;
};

const headBytes = 9;
const okBlock = Buffer.from([0x88]);
export const requestPseudo: readonly HeaderField[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':authority', 'test'],
  [':path', '/'],
];
export const requestWith = (...fields: readonly HeaderField[]): HeaderField[] => [
  ...requestPseudo,
  ...fields,
];

/** A node:http2 client, and a server that records its header blocks and responds with given ones. */
export class NodeExchange {
  readonly #options: Options;
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  readonly #blocks: Buffer[] = [];
  #begun = Buffer.alloc(0);

  private constructor(options: Options) {
    this.#options = options;
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  /** Runs `use` on a new connection. */
  static async with(
    options: Options,
    use: (exchange: NodeExchange, client: ClientHttp2Session) => Promise<void>,
  ) {
    const exchange = new NodeExchange(options);
    exchange.#server.listen(0, '127.0.0.1');
    await once(exchange.#server, 'listening');
    const address = exchange.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const size = options.headerTableSize;
    const client = connect(`http://127.0.0.1:${address.port}`, {
      settings: size === undefined ? {} : { headerTableSize: size },
    });
    const closed = once(client, 'close');
    await once(client, 'remoteSettings');
    try {
      await use(exchange, client);
    } finally {
      client.destroy();
      await closed;
      exchange.#server.close();
      await once(exchange.#server, 'close');
    }
  }

  /** Announces the given sizes of the client's table in turn. */
  async announce(client: ClientHttp2Session, sizes: readonly number[]): Promise<void> {
    const settings = sizes.map((size): [number, number] => [settingIds.headerTableSize, size]);
    for (const socket of this.#sockets) socket.write(settingsFrame(settings));
    await once(client, 'remoteSettings');
  }

  /** @returns the header block of each request, in order, after all have got their responses */
  async send(client: ClientHttp2Session, requests: readonly (readonly HeaderField[])[]): Promise<Buffer[]> {
    const before = this.#blocks.length;
    await Promise.all(requests.map((fields) => ask(client, fields)));
    return this.#blocks.slice(before);
  }

  #accept(socket: Socket): void {
    this.#sockets.push(socket);
    // The client closes without GOAWAY.
    socket.on('error', () => {});
    socket.write(settingsFrame([]));
    let rest: Buffer = Buffer.alloc(0);
    let at = preface.length;
    socket.on('data', (bytes: Buffer) => {
      rest = Buffer.concat([rest, bytes]);
      for (;;) {
        if (rest.length - at < headBytes) return;
        const end = at + headBytes + rest.readUIntBE(at, 3);
        if (end > rest.length) return;
        this.#take(socket, rest.subarray(at, end));
        at = end;
      }
    });
  }

  #take(socket: Socket, bytes: Buffer): void {
    const [type, flags = 0] = bytes.subarray(3);
    const payload = bytes.subarray(headBytes);
    if (type === frameTypes.settings && (flags & frameFlags.ack) === 0) {
      for (let at = 0; at < payload.length; at += 6)
        if (payload.readUInt16BE(at) === settingIds.headerTableSize)
          this.#options.onTableSize?.(payload.readUInt32BE(at + 2));
      socket.write(frame(frameTypes.settings, frameFlags.ack, 0));
    }
    if (type !== frameTypes.headers && type !== frameTypes.continuation) return;
    if ((flags & (frameFlags.padded | frameFlags.priority)) !== 0)
      throw new Error('more than a header block');
    this.#begun = Buffer.concat([this.#begun, payload]);
    if ((flags & frameFlags.endHeaders) === 0) return;
    this.#blocks.push(this.#begun);
    this.#begun = Buffer.alloc(0);
    const ends = frameFlags.endHeaders | frameFlags.endStream;
    const block = this.#options.answer?.() ?? okBlock;
    socket.write(frame(frameTypes.headers, ends, bytes.readUInt32BE(5), block));
  }
}

/** @returns the fields of the response, in order */
export async function ask(
  client: ClientHttp2Session,
  fields: readonly HeaderField[],
): Promise<HeaderField[]> {
  const { promise, resolve, reject } = Promise.withResolvers<HeaderField[]>();
  const stream = client.request(fields.flat(), { endStream: true });
  stream.on('response', (_headers, _flags, raw) => resolve(pairs(raw)));
  stream.on('error', reject);
  stream.on('close', () => reject(new Error('closed without an answer')));
  stream.resume();
  return await promise;
}

const pairs = (raw: readonly string[]): HeaderField[] =>
  raw.flatMap((name, at): HeaderField[] => (at % 2 === 0 ? [[name, raw[at + 1] ?? '']] : []));
