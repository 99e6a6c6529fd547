import { constants, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Check } from '../../src/check/check-request.ts';
import { authorizationDefinition } from '../envoy/protocol.ts';
import { eventually } from '../processes.ts';
import { allowed, checkMessage, openSession, startServer, type TestServer } from './grpc-fixture.ts';
import { combinations, createTransport } from './transports.ts';

const { requestSerialize, responseDeserialize, path: checkPath } = authorizationDefinition.Check;

type Answer = {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly rstCode: number | undefined;
};

const framed = (message: Buffer, compressed = 0): Buffer => {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(compressed, 0);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
};
const message = framed(requestSerialize(checkMessage({ authorization: 'Bearer x' })));
const timeouts: [string, string][] = [
  ['nanoseconds', '99999999n'],
  ['microseconds', '100000u'],
  ['milliseconds', '100m'],
];

describe.each(combinations)('a call answered by the engine %s over %s', (engine, transportName) => {
  let running: TestServer;
  let session: ClientHttp2Session;
  let decide: Check;

  beforeEach(async () => {
    decide = () => allowed();
    running = await startServer((request) => decide(request), {
      engine,
      transport: createTransport(transportName),
    });
    session = openSession(running);
  });
  afterEach(async () => {
    session.destroy();
    await running.server.stop();
  });

  function open(headers: Record<string, string | string[]> = {}) {
    const stream = session.request({
      ':method': 'POST',
      ':path': checkPath,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const chunks: Buffer[] = [];
    let head: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    stream.on('response', (fields) => (head = fields)).on('trailers', (fields) => (trailers = fields));
    stream.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => {});
    const { promise, resolve } = Promise.withResolvers<Answer>();
    stream.on('close', () =>
      resolve({ headers: head, trailers, body: Buffer.concat(chunks), rstCode: stream.rstCode }),
    );
    return { stream, answer: promise };
  }

  async function call(body: Buffer, headers?: Record<string, string | string[]>): Promise<Answer> {
    const { stream, answer } = open(headers);
    stream.end(body);
    return answer;
  }

  const codeOf = ({ headers, trailers }: Answer): string | undefined =>
    (trailers['grpc-status'] ?? headers['grpc-status'])?.toString();

  const isAllowed = (answer: Answer): boolean =>
    codeOf(answer) === '0' && responseDeserialize(answer.body.subarray(5)).okResponse !== undefined;

  it('has the form that gRPC asks for', async () => {
    const { headers, trailers, body } = await call(message);
    expect(headers[':status']).toBe(200);
    expect(headers['content-type']).toMatch(/^application\/grpc/);
    expect(headers['grpc-status']).toBeUndefined();
    expect(trailers['grpc-status']).toBe('0');
    expect(body[0]).toBe(0);
    expect(body.readUInt32BE(1)).toBe(body.length - 5);
  });

  it.each([1, 2, 4, 5, 6, 7, 50])('may come in pieces of %i bytes', async (size) => {
    const { stream, answer } = open();
    for (let at = 0; at < message.length; at += size) {
      stream.write(message.subarray(at, at + size));
      await new Promise((resolve) => setImmediate(resolve));
    }
    stream.end();
    expect(isAllowed(await answer)).toBe(true);
  });

  it('is decided only when its client has said all', async () => {
    const { stream, answer } = open();
    stream.write(message);
    expect(isAllowed(await call(message))).toBe(true);
    expect(running.decisions).toHaveLength(1);
    stream.end();
    expect(isAllowed(await answer)).toBe(true);
    expect(running.decisions).toHaveLength(2);
  });

  it('may be of the largest size, not larger', async () => {
    const sized = (bytes: number): Buffer => {
      const empty = requestSerialize(checkMessage({ filler: '' })).length;
      return requestSerialize(checkMessage({ filler: 'x'.repeat(bytes - empty - 10) }));
    };
    const largest = sized(128 * 1024);
    expect(largest.length).toBeLessThanOrEqual(128 * 1024);
    expect(largest.length).toBeGreaterThan(127 * 1024);
    expect(isAllowed(await call(framed(largest)))).toBe(true);
    expect(codeOf(await call(framed(sized(128 * 1024 + 100))))).toBe('8');
  });

  it('may be empty: then it is a request without attributes', async () => {
    let asked: unknown = 'nothing';
    decide = (request) => {
      asked = request;
      return allowed();
    };
    expect(isAllowed(await call(framed(Buffer.alloc(0))))).toBe(true);
    expect(asked).toBeUndefined();
  });

  it('may be compressed where it says how', async () => {
    const compressed = framed(gzipSync(requestSerialize(checkMessage())), 1);
    expect(isAllowed(await call(compressed, { 'grpc-encoding': 'gzip' }))).toBe(true);
    expect(isAllowed(await call(message, { 'grpc-encoding': 'identity' }))).toBe(true);
    expect(codeOf(await call(compressed, { 'grpc-encoding': 'zstd' }))).toBe('12');
    expect(codeOf(await call(compressed))).toBe('13');
  });

  it.each([
    ['of two messages in one piece', Buffer.concat([message, message])],
    ['of no message', Buffer.alloc(0)],
    ['cut off in its prefix', message.subarray(0, 3)],
    ['cut off in its message', message.subarray(0, 20)],
    ['of bytes that are no message', framed(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]))],
    [
      'of a message that says its method twice',
      framed(Buffer.from('0a0a2208120612004a120012'.slice(0, 24), 'hex')),
    ],
  ])('%s is refused, and nothing is decided', async (_, body) => {
    const answer = await call(body);
    expect(codeOf(answer)).not.toBe('0');
    expect(running.decisions).toEqual([]);
    expect(isAllowed(await call(message))).toBe(true);
  });

  it('of two messages in two pieces is refused', async () => {
    const { stream, answer } = open();
    stream.write(message);
    await new Promise((resolve) => setTimeout(resolve, 20));
    stream.end(message);
    expect(codeOf(await answer)).not.toBe('0');
  });

  it.each(timeouts)('ends at its deadline in %s', async (_, timeout) => {
    decide = () => Promise.withResolvers<never>().promise;
    expect(codeOf(await call(message, { 'grpc-timeout': timeout }))).toBe('4');
  });

  it('ends at its deadline when its message does not come', async () => {
    const { stream, answer } = open({ 'grpc-timeout': '50m' });
    stream.on('response', () => stream.end());
    expect(codeOf(await answer)).toBe('4');
  });

  it('is answered well before a far deadline', async () => {
    expect(isAllowed(await call(message, { 'grpc-timeout': '99999999S' }))).toBe(true);
  });

  it.each(['1', '1x', 'S'])('with the deadline "%s", which is none, is an error', async (timeout) => {
    expect(codeOf(await call(message, { 'grpc-timeout': timeout }))).toBe('13');
  });

  it('that is reset is forgotten, and its late decision goes nowhere', async () => {
    const gate = Promise.withResolvers<void>();
    let begun = false;
    decide = async () => {
      begun = true;
      await gate.promise;
      return allowed();
    };
    const { stream, answer } = open({ 'grpc-timeout': '60S' });
    stream.end(message);
    await eventually('the check has begun', () => begun || undefined);
    stream.close(constants.NGHTTP2_CANCEL);
    await answer;
    gate.resolve();
    await eventually('it was decided', () => running.decisions.length === 1 || undefined);
    decide = () => allowed();
    expect(isAllowed(await call(message))).toBe(true);
  });

  it('that is reset halfway through its message is never decided', async () => {
    const { stream, answer } = open();
    stream.write(message.subarray(0, 10));
    await new Promise((resolve) => setTimeout(resolve, 10));
    stream.close(constants.NGHTTP2_CANCEL);
    await answer;
    expect(isAllowed(await call(message))).toBe(true);
    expect(running.decisions).toHaveLength(1);
  });

  it.each([
    ['another method', { ':path': '/envoy.service.auth.v3.Authorization/Nothing' }, '12'],
    ['another service', { ':path': '/other.Service/Check' }, '12'],
    ['a subtype of gRPC', { 'content-type': 'application/grpc+proto' }, '0'],
  ])('with %s is as grpc-js has it', async (_, headers, code) => {
    expect(codeOf(await call(message, headers))).toBe(code);
  });

  it('of another content type is refused with 415', async () => {
    expect((await call(message, { 'content-type': 'application/json' })).headers[':status']).toBe(415);
  });

  it('that has begun is answered after GOAWAY, and its connection ends with it', async () => {
    const gate = Promise.withResolvers<void>();
    let begun = false;
    decide = async () => {
      begun = true;
      await gate.promise;
      return allowed();
    };
    const { stream, answer } = open();
    stream.end(message);
    await eventually('the check has begun', () => begun || undefined);
    let goneAway = false;
    session.on('goaway', () => (goneAway = true));
    const closed = Promise.withResolvers<void>();
    session.on('close', () => closed.resolve());
    const stopped = running.server.stop();
    await eventually('GOAWAY has come', () => goneAway || undefined);
    gate.resolve();
    expect(isAllowed(await answer)).toBe(true);
    await closed.promise;
    await stopped;
  });

  it('keeps a connection from being idle', async () => {
    await running.server.stop();
    session.destroy();
    running = await startServer(() => allowed(), {
      engine,
      transport: createTransport(transportName),
      bounds: { maxConnectionIdleMs: 1500 },
    });
    session = openSession(running);
    for (let round = 0; round < 20; round += 1) {
      expect(isAllowed(await call(message))).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(session.closed).toBe(false);
    // Only the local Envoy can open the Unix socket: its connections may be idle.
    if (transportName !== 'unix')
      await eventually('it is closed once it is idle', () => session.closed || undefined);
  });

  it('is answered on a connection that is probed', async () => {
    await running.server.stop();
    session.destroy();
    running = await startServer(() => allowed(), {
      engine,
      transport: createTransport(transportName),
      bounds: { keepaliveMs: 20 },
    });
    session = openSession(running);
    let probes = 0;
    session.on('ping', () => (probes += 1));
    await eventually('probes came', () => probes > 1 || undefined);
    expect(isAllowed(await call(message))).toBe(true);
  });
});
