import { connect } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Connection, OnAnswer, Outcome } from './connection.ts';

/**
 * A keep-alive HTTP/1.1 connection with one open request at a time. It writes requests itself, because a
 * client library would cost more than what it measures.
 * @param requests complete requests, by index of their token
 */
export function connectHttp(
  port: number,
  requests: readonly Buffer[],
  onAnswer: OnAnswer,
): Promise<Connection> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let startedUs = 0;
  let open = false;
  let pending = '';

  const answer = (outcome: Outcome): void => {
    open = false;
    pending = '';
    onAnswer(startedUs, outcome);
  };
  socket.on('data', (chunk) => {
    pending = pending === '' ? chunk.toString('latin1') : pending + chunk.toString('latin1');
    const outcome = readResponse(pending);
    if (outcome !== undefined) answer(outcome);
  });
  const lost = (): void => {
    if (open) answer('failed');
  };
  socket.on('close', lost);

  const connection: Connection = {
    send: (token, fromUs) => {
      const request = requests[token];
      if (request === undefined) throw new Error(`no token ${token}`);
      open = true;
      startedUs = fromUs;
      if (!socket.writable) answer('failed');
      else socket.write(request);
    },
    get free() {
      return open ? 0 : 1;
    },
    close: () => {
      socket.off('close', lost);
      socket.destroy();
    },
  };
  return connected(socket, connection);
}

/** Resolves with the value once the socket is connected, and its TLS handshake complete. */
export function connected<T>(socket: ReturnType<typeof connect>, value: T): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => resolve(value));
  socket.on('error', reject);
  return promise;
}

const contentLength = /\r\ncontent-length: (\d+)\r\n/i;

/**
 * The outcome of a complete response; undefined while it is incomplete. Supports only responses with a
 * content length.
 */
export function readResponse(text: string): Outcome | undefined {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd === -1) return undefined;
  const length = contentLength.exec(text.slice(0, headEnd + 2))?.[1];
  const bodyLength = length === undefined ? 0 : Number(length);
  if (text.length < headEnd + 4 + bodyLength) return undefined;
  const status = text.slice(9, 12);
  if (status === '200') return 'allowed';
  return status === '401' || status === '403' ? 'denied' : 'failed';
}
