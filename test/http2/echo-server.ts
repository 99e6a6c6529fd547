import { createServer, type Server, type Socket } from 'node:net';
import type { ConnectionOptions } from '../../src/http2/connection-options.ts';
import { Connection } from '../../src/http2/connection.ts';
import type { HeaderList } from '../../src/http2/header-encoder.ts';
import type { RequestHead } from '../../src/http2/request-head.ts';
import { ServerStream } from '../../src/http2/server-stream.ts';

const okHead: HeaderList = [[':status', '200']];
const okTrailers: HeaderList = [['x-status', 'done']];

/** What has become of a request. */
export type Seen = {
  readonly head: RequestHead;
  body: Buffer;
  isEnded: boolean;
  isReset: boolean;
  isOverdue: boolean;
};

/** Answers a request, once its client has said all, with its own body, or with one of `x-answer-bytes`. */
class EchoStream extends ServerStream {
  readonly #seen: Seen;

  constructor(connection: Connection, id: number, seen: Seen) {
    super(connection, id);
    this.#seen = seen;
  }

  onHead(): void {}

  onData(bytes: Buffer): void {
    this.#seen.body = Buffer.concat([this.#seen.body, bytes]);
  }

  onEnd(): void {
    this.#seen.isEnded = true;
    const { head, body } = this.#seen;
    if (head.path === '/never') return;
    const bytes = head.headers.get('x-answer-bytes');
    this.connection.sendHeaders(this, okHead, false);
    this.connection.sendData(this, bytes === undefined ? body : Buffer.alloc(Number(bytes), 'a'));
    this.connection.sendHeaders(this, okTrailers, true);
  }

  onReset(): void {
    this.#seen.isReset = true;
  }

  onOverdue(): void {
    this.#seen.isOverdue = true;
  }
}

export type EchoServer = {
  readonly server: Server;
  readonly seen: Seen[];
  readonly connections: Connection[];
  readonly errors: string[];
  over(): number;
};

/** The server of our own HTTP/2 around streams that echo. */
export function createEchoServer(overrides: Partial<ConnectionOptions> = {}): EchoServer {
  const seen: Seen[] = [];
  const connections: Connection[] = [];
  const errors: string[] = [];
  let over = 0;
  const options: ConnectionOptions = {
    open: (connection, id, head) => {
      const entry: Seen = { head, body: Buffer.alloc(0), isEnded: false, isReset: false, isOverdue: false };
      seen.push(entry);
      return new EchoStream(connection, id, entry);
    },
    onOver: () => (over += 1),
    onPeerError: (message) => errors.push(message),
    readBuffer: Buffer.allocUnsafeSlow(64 * 1024),
    repeatedLists: new Set([okHead, okTrailers]),
    maxConcurrentStreams: 100,
    streamWindow: 256 * 1024,
    headerBounds: { maxListBytes: 64 * 1024, maxFields: 128 },
    strikes: { most: 1000, perSecond: 100 },
    ...overrides,
  };
  const server = createServer({ noDelay: true }, (socket: Socket) => {
    socket.on('error', () => {});
    connections.push(new Connection(socket, options));
  });
  return { server, seen, connections, errors, over: () => over };
}
