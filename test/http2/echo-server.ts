import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { ConnectionOptions } from '../../src/http2/connection-options.ts';
import { Connection } from '../../src/http2/connection.ts';
import type { HeaderList } from '../../src/http2/header-encoder.ts';
import { MemoryBudget } from '../../src/http2/memory-budget.ts';
import type { RequestHead } from '../../src/http2/request-head.ts';
import { ServerStream, type ServerConnection } from '../../src/http2/server-stream.ts';

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

/** What a server may do differently. */
type EchoWays = {
  /** Answers so much later. */
  readonly answerAfterMs?: number;
  /** Its sockets look as those of another Node would, which has to be read the usual way. */
  readonly hidesInside?: boolean;
};

/**
 * Answers a request, once its client has said all, with its own body, or with one of `x-answer-bytes`. On the path `/never` it doesn't, and
 * on `/at-head` it answers at once.
 */
class EchoStream extends ServerStream {
  readonly #seen: Seen;
  readonly #answerAfterMs: number | undefined;

  constructor(connection: ServerConnection, id: number, seen: Seen, answerAfterMs: number | undefined) {
    super(connection, id);
    this.#seen = seen;
    this.#answerAfterMs = answerAfterMs;
  }

  onHead(): void {
    if (this.#seen.head.path === '/at-head') this.#answer(Buffer.from('early'));
  }

  onData(bytes: Buffer): void {
    this.#seen.body = Buffer.concat([this.#seen.body, bytes]);
  }

  onEnd(): void {
    this.#seen.isEnded = true;
    const { head, body } = this.#seen;
    if (head.path === '/never') return;
    const bytes = head.headers.get('x-answer-bytes');
    const answer = bytes === undefined ? body : Buffer.alloc(Number(bytes), 'a');
    if (this.#answerAfterMs === undefined) this.#answer(answer);
    else setTimeout(() => this.#answer(answer), this.#answerAfterMs);
  }

  #answer(bytes: Buffer): void {
    this.connection.sendHeaders(this, okHead, false);
    this.connection.sendData(this, bytes);
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
  readonly sockets: Socket[];
  readonly errors: string[];
  readonly faults: unknown[];
  readonly budget: MemoryBudget;
  /** Connections that are over, as often as that was said. */
  over(): number;
  /** @returns the port */
  listen(): Promise<number>;
  /** Ends all connections. */
  stop(): Promise<void>;
};

/** The server of our own HTTP/2 around streams that echo. */
export function createEchoServer(
  overrides: Partial<ConnectionOptions> = {},
  { answerAfterMs, hidesInside = false }: EchoWays = {},
): EchoServer {
  const seen: Seen[] = [];
  const connections: Connection[] = [];
  const sockets: Socket[] = [];
  const errors: string[] = [];
  const faults: unknown[] = [];
  let over = 0;
  const options: ConnectionOptions = {
    open: (connection, id, head) => {
      const entry: Seen = { head, body: Buffer.alloc(0), isEnded: false, isReset: false, isOverdue: false };
      seen.push(entry);
      return new EchoStream(connection, id, entry, answerAfterMs);
    },
    onOver: () => (over += 1),
    onFree: () => {},
    idleOrder: { count: 0 },
    onPeerError: (message) => errors.push(message),
    onFault: (thrown) => faults.push(thrown),
    readBuffer: Buffer.allocUnsafeSlow(64 * 1024),
    budget: new MemoryBudget({ mostBytes: 2 ** 26, mostBytesOfOne: 2 ** 24, ownBytes: 0 }),
    repeatedLists: new Set([okHead, okTrailers]),
    maxConcurrentStreams: 100,
    streamWindow: 256 * 1024,
    headerBounds: { maxListBytes: 64 * 1024, maxFields: 128 },
    strikes: { most: 1000, perSecond: 100 },
    mistakes: { most: 1000, perSecond: 100 },
    ...overrides,
  };
  const server = createServer({ noDelay: true }, (socket: Socket) => {
    socket.on('error', () => {});
    if (hidesInside)
      for (const symbol of Object.getOwnPropertySymbols(socket))
        if (symbol.description?.startsWith('kBuffer') === true) Reflect.deleteProperty(socket, symbol);
    sockets.push(socket);
    connections.push(new Connection(socket, options));
  });

  async function listen(): Promise<number> {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return address.port;
  }

  async function stop(): Promise<void> {
    const closed = once(server, 'close');
    server.close();
    for (const connection of connections) connection.destroy();
    await closed;
  }

  return {
    server,
    seen,
    connections,
    sockets,
    errors,
    faults,
    budget: options.budget,
    over: () => over,
    listen,
    stop,
  };
}
