import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Connection, OnAnswer, Outcome } from './connection.ts';
import { connected } from './http1.ts';
import {
  flags,
  frame,
  frameTypes,
  grpcMessage,
  headerBlock,
  headerBytes,
  preface,
  statusCodeOf,
  windowUpdate,
} from './http2-frames.ts';
import type { ClientTlsFiles } from './messages.ts';

const initialWindow = 65_535;
const largestWindow = 2 ** 31 - 1;

const checkHeaders = headerBlock([
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/envoy.service.auth.v3.Authorization/Check'],
  [':authority', 'authorizer'],
  ['te', 'trailers'],
  ['content-type', 'application/grpc'],
]);

type GrpcTarget = { readonly port: number; readonly tls?: ClientTlsFiles } | { readonly path: string };

function openSocket(at: GrpcTarget): Socket {
  if ('path' in at) return connect(at.path);
  const { port, tls } = at;
  if (tls === undefined) return connect({ port, host: '127.0.0.1', noDelay: true });
  const [ca, cert, key] = [tls.ca, tls.cert, tls.key].map((file) => readFileSync(file));
  const socket = connectTls({ port, host: '127.0.0.1', ca, cert, key, ALPNProtocols: ['h2'] });
  return socket.setNoDelay(true);
}

type Call = { readonly startedUs: number; outcome: Outcome };

/**
 * An HTTP/2 connection that calls `Authorization/Check` like a worker of Envoy. It encodes frames itself,
 * which takes a few microseconds per request, so that the core stays free for the server.
 * @param messages encoded `CheckRequest`s, by index of their token
 */
export function connectGrpc(
  at: GrpcTarget,
  messages: readonly Buffer[],
  concurrency: number,
  onAnswer: OnAnswer,
): Promise<Connection> {
  const socket = openSocket(at);
  const calls = new Map<number, Call>();
  const requests = messages.map(requestFrames);
  const waiting: { stream: number; token: number }[] = [];
  let outgoing: Buffer[] = [];
  let sendWindow = initialWindow;
  let nextStream = 1;
  let rest: Buffer = Buffer.alloc(0);

  const finish = (stream: number, outcome?: Outcome): void => {
    const call = calls.get(stream);
    if (call === undefined || !calls.delete(stream)) return;
    onAnswer(call.startedUs, outcome ?? call.outcome);
  };

  function flush(): void {
    if (outgoing.length === 0) return;
    const bytes = outgoing.length === 1 ? outgoing[0] : Buffer.concat(outgoing);
    outgoing = [];
    if (bytes !== undefined && socket.writable) socket.write(bytes);
  }

  function write(stream: number, token: number): void {
    const template = requests[token];
    if (template === undefined) throw new Error(`no token ${token}`);
    sendWindow -= template.dataBytes;
    const bytes = Buffer.from(template.bytes);
    bytes.writeUInt32BE(stream, 5);
    bytes.writeUInt32BE(stream, template.dataAt + 5);
    if (outgoing.length === 0) queueMicrotask(flush);
    outgoing.push(bytes);
  }

  function writeWaiting(): void {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      if ((requests[next.token]?.dataBytes ?? 0) > sendWindow) return;
      waiting.shift();
      write(next.stream, next.token);
    }
  }

  function receive(type: number, flag: number, stream: number, payload: Buffer): void {
    switch (type) {
      case frameTypes.data: {
        const call = calls.get(stream);
        if (call !== undefined) call.outcome = outcomeOf(statusCodeOf(payload));
        return;
      }
      case frameTypes.headers:
        if ((flag & flags.endStream) !== 0) finish(stream);
        return;
      case frameTypes.resetStream:
        return finish(stream, 'failed');
      case frameTypes.settings:
        if ((flag & flags.ack) === 0) socket.write(frame(frameTypes.settings, flags.ack, 0, Buffer.alloc(0)));
        return;
      case frameTypes.ping:
        if ((flag & flags.ack) === 0) socket.write(frame(frameTypes.ping, flags.ack, 0, payload));
        return;
      case frameTypes.windowUpdate:
        if (stream === 0) sendWindow += payload.readUInt32BE() & largestWindow;
        return writeWaiting();
    }
  }

  socket.on('data', (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let offset = 0;
    while (offset + headerBytes <= bytes.length) {
      const end = offset + headerBytes + bytes.readUIntBE(offset, 3);
      if (end > bytes.length) break;
      const stream = bytes.readUInt32BE(offset + 5) & largestWindow;
      receive(
        bytes[offset + 3] ?? 0,
        bytes[offset + 4] ?? 0,
        stream,
        bytes.subarray(offset + headerBytes, end),
      );
      offset = end;
    }
    rest = bytes.subarray(offset);
  });
  const lost = (): void => {
    for (const stream of calls.keys()) finish(stream, 'failed');
  };
  socket.on('close', lost);
  socket.write(
    Buffer.concat([
      preface,
      frame(frameTypes.settings, 0, 0, Buffer.alloc(0)),
      windowUpdate(0, largestWindow - initialWindow),
    ]),
  );

  const connection: Connection = {
    send: (token, startedUs) => {
      const stream = nextStream;
      nextStream += 2;
      calls.set(stream, { startedUs, outcome: 'failed' });
      if (!socket.writable) finish(stream, 'failed');
      else if (waiting.length === 0 && (requests[token]?.dataBytes ?? 0) <= sendWindow) write(stream, token);
      else waiting.push({ stream, token });
    },
    get free() {
      return concurrency - calls.size;
    },
    close: () => {
      socket.off('close', lost);
      socket.destroy();
    },
  };
  return connected(socket, connection);
}

/** HEADERS and DATA of one request with the stream ids left out. */
function requestFrames(message: Buffer): { bytes: Buffer; dataAt: number; dataBytes: number } {
  const headers = frame(frameTypes.headers, flags.endHeaders, 0, checkHeaders);
  const data = frame(frameTypes.data, flags.endStream, 0, grpcMessage(message));
  return {
    bytes: Buffer.concat([headers, data]),
    dataAt: headers.length,
    dataBytes: data.length - headerBytes,
  };
}

function outcomeOf(code: number | undefined): Outcome {
  if (code === undefined) return 'failed';
  return code === 0 ? 'allowed' : 'denied';
}
