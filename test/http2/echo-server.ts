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

/** A request as the server has seen it. */
export type Seen = {
  readonly head: RequestHead;
  body: Buffer;
  isEnded: boolean;
  isReset: boolean;
  isTimedOut: boolean;
};

/** How a server may differ. */
type EchoVariant = {
  /** Delays each response. */
  readonly answerAfterMs?: number;
  /**
   * Hides Node's private fields, so that sockets are read with the `data` event as on an unknown version of
   * Node.
   */
  readonly hidesInternals?: boolean;
};

/**
 * Responds to a complete request with its own body, or with as many bytes as `x-answer-bytes` says. On the
 * path `/never` it does not respond; on `/at-head` it responds as soon as the header fields have arrived.
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

  onRequestTimeout(): void {
    this.#seen.isTimedOut = true;
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
  /** How often `onClosed` was called. */
  closed(): number;
  /** @returns the port */
  listen(): Promise<number>;
  /** Ends all connections. */
  stop(): Promise<void>;
};

/** A server of src/http2 whose streams echo. */
export function createEchoServer(
  overrides: Partial<ConnectionOptions> = {},
  { answerAfterMs, hidesInternals = false }: EchoVariant = {},
): EchoServer {
  const seen: Seen[] = [];
  const connections: Connection[] = [];
  const sockets: Socket[] = [];
  const errors: string[] = [];
  const faults: unknown[] = [];
  let closed = 0;
  const options: ConnectionOptions = {
    createStream: (connection, id, head) => {
      const entry: Seen = { head, body: Buffer.alloc(0), isEnded: false, isReset: false, isTimedOut: false };
      seen.push(entry);
      return new EchoStream(connection, id, entry, answerAfterMs);
    },
    onClosed: () => (closed += 1),
    onReleased: () => {},
    idleOrder: { count: 0 },
    onClientError: (message) => errors.push(message),
    onFault: (thrown) => faults.push(thrown),
    readBuffer: Buffer.allocUnsafeSlow(64 * 1024),
    budget: new MemoryBudget({ maxSharedBytes: 2 ** 26, maxConnectionBytes: 2 ** 24, guaranteedBytes: 0 }),
    repeatedLists: new Set([okHead, okTrailers]),
    maxConcurrentStreams: 100,
    streamWindow: 256 * 1024,
    headerBounds: { maxListBytes: 64 * 1024, maxFields: 128 },
    controlFrameLimit: { burst: 1000, perSecond: 100 },
    errorLimit: { burst: 1000, perSecond: 100 },
    nowMs: () => performance.now(),
    ...overrides,
  };
  const server = createServer({ noDelay: true }, (socket: Socket) => {
    socket.on('error', () => {});
    if (hidesInternals)
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
    const serverClosed = once(server, 'close');
    server.close();
    for (const connection of connections) connection.destroy();
    await serverClosed;
  }

  return {
    server,
    seen,
    connections,
    sockets,
    errors,
    faults,
    budget: options.budget,
    closed: () => closed,
    listen,
    stop,
  };
}
