import { connectivityState, type ServiceError, status } from '@grpc/grpc-js';
import { constants } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Check } from '../../src/check/check-request.ts';
import { authorizationDefinition } from '../envoy/protocol.ts';
import { eventually } from '../processes.ts';
import {
  allowed,
  check,
  checkHealth,
  checkMessage,
  connectToServer,
  denied,
  openSession,
  openSocket,
  startCheck,
  startServer as start,
  watchHealth,
  type TestServer,
} from './grpc-fixture.ts';
import { combinations, createTransport } from './transports.ts';

const { requestSerialize, path: checkPath } = authorizationDefinition.Check;

describe.each(combinations)('a check answered by the engine %s over %s', (engine, transportName) => {
  const startServer: typeof start = (check, options) =>
    start(check, { engine, transport: createTransport(transportName), ...options });

  let running: TestServer;
  let decide: Check;
  let client: ReturnType<typeof connectToServer>;

  beforeEach(async () => {
    decide = () => allowed();
    running = await startServer((request) => decide(request));
    client = connectToServer(running);
  });

  afterEach(async () => {
    client.close();
    await running.server.stop();
  });

  const fails = async (answer: Promise<unknown>): Promise<ServiceError> =>
    answer.then(
      () => Promise.reject(new Error('did not fail')),
      (error: unknown) => error as ServiceError,
    );

  const stillAnswers = async (): Promise<boolean> => {
    const other = connectToServer(running);
    const answer = await check(other, checkMessage(), { deadline: Date.now() + 5000 }).finally(() =>
      other.close(),
    );
    return answer.okResponse !== undefined;
  };

  describe('the Check method', () => {
    it('answers a decision made at once and one made later', async () => {
      expect((await check(client, checkMessage())).okResponse).toBeDefined();
      decide = () => Promise.resolve(denied('expired'));
      expect((await check(client, checkMessage())).deniedResponse?.status?.code).toBe(401);
      expect(running.decisions.map(({ kind }) => kind)).toEqual(['allow', 'deny']);
    });

    it.each([
      [
        'throws',
        () => {
          throw new Error('secret of the house');
        },
      ],
      ['rejects', () => Promise.reject(new Error('secret of the house'))],
    ])('refuses with 503 and says nothing of the fault when the check %s', async (_, broken) => {
      decide = broken;
      const answer = await check(client, checkMessage());
      expect(answer.status?.code).toBe(14);
      expect(answer.deniedResponse?.status?.code).toBe(503);
      expect(JSON.stringify(answer)).not.toContain('secret');
      expect(running.decisions).toEqual([expect.objectContaining({ reason: 'internal_error' })]);
    });

    it('asks the check about a message without attributes too', async () => {
      decide = (request) => (request === undefined ? denied('misconfigured_route') : allowed());
      expect((await check(client, {})).deniedResponse?.status?.code).toBe(500);
    });

    it("keeps to the caller's deadline", async () => {
      decide = () => Promise.withResolvers<never>().promise;
      const error = await fails(check(client, checkMessage(), { deadline: Date.now() + 100 }));
      expect(error.code).toBe(status.DEADLINE_EXCEEDED);
      decide = () => allowed();
      expect(await stillAnswers()).toBe(true);
    });

    it('survives a call that is cancelled before it is decided', async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      let started = false;
      decide = async () => {
        started = true;
        await promise;
        return allowed();
      };
      const { call, answer } = startCheck(client, checkMessage());
      await eventually('the check has started', () => started || undefined);
      call.cancel();
      expect((await fails(answer)).code).toBe(status.CANCELLED);
      resolve();
      decide = () => allowed();
      expect(await stillAnswers()).toBe(true);
    });

    it('refuses a message above the limit', async () => {
      const error = await fails(check(client, checkMessage({ authorization: 'x'.repeat(128 * 1024) })));
      expect(error.code).toBe(status.RESOURCE_EXHAUSTED);
      expect(await stillAnswers()).toBe(true);
    });

    it('answers UNIMPLEMENTED to an unknown method', async () => {
      const { promise, resolve } = Promise.withResolvers<ServiceError | null>();
      const identity = (bytes: Buffer): Buffer => bytes;
      client.makeUnaryRequest(
        '/envoy.service.auth.v3.Authorization/Nothing',
        identity,
        identity,
        Buffer.alloc(0),
        (error) => resolve(error),
      );
      expect((await promise)?.code).toBe(status.UNIMPLEMENTED);
    });

    it('answers a thousand checks on one connection', async () => {
      const answers = await Promise.all(Array.from({ length: 1000 }, () => check(client, checkMessage())));
      expect(answers.every(({ okResponse }) => okResponse !== undefined)).toBe(true);
    });
  });

  /** One raw HTTP/2 request with the given body; the gRPC status it ended with. */
  async function rawCall(body: Buffer, headers: Record<string, string> = {}): Promise<string | undefined> {
    const session = openSession(running);
    const stream = session.request({
      ':method': 'POST',
      ':path': checkPath,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    let seen: string | undefined;
    stream.on('response', (fields) => {
      seen =
        fields['grpc-status']?.toString() ??
        (fields[':status'] === 200 ? undefined : `HTTP ${fields[':status']}`);
    });
    stream.on('trailers', (fields) => (seen = fields['grpc-status']?.toString()));
    stream.on('error', () => {}).on('close', () => resolve(seen));
    stream.resume().end(body);
    return promise.finally(() => session.destroy());
  }

  const framed = (message: Buffer, compressed = 0): Buffer => {
    const head = Buffer.alloc(5);
    head.writeUInt8(compressed, 0);
    head.writeUInt32BE(message.length, 1);
    return Buffer.concat([head, message]);
  };

  describe('what no honest client sends', () => {
    it.each([
      ['bytes that are no message', framed(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f])), '13'],
      ['a length beyond its data', Buffer.from([0, 0, 0, 0, 9, 1]), undefined],
      ['a length of four gigabytes', Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1]), '8'],
      ['no message at all', Buffer.alloc(0), undefined],
      [
        'two messages',
        Buffer.concat([framed(requestSerialize({})), framed(requestSerialize({}))]),
        undefined,
      ],
      ['a compressed flag without an encoding', framed(gzipSync(requestSerialize({})), 1), undefined],
    ])('%s ends the call and nothing else', async (_, body, expected) => {
      const code = await rawCall(body);
      expect(code).not.toBe('0');
      expect(expected === undefined || code === expected).toBe(true);
      expect(await stillAnswers()).toBe(true);
    });

    it('a compressed message that unfolds beyond the limit is refused', async () => {
      const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
      expect(bomb.length).toBeLessThan(128 * 1024);
      expect(await rawCall(framed(bomb, 1), { 'grpc-encoding': 'gzip' })).toBe('8');
      expect(await stillAnswers()).toBe(true);
    });

    it('a request that is no gRPC is refused', async () => {
      expect(await rawCall(Buffer.alloc(0), { 'content-type': 'application/json' })).toBe('HTTP 415');
    });

    it('a header list above 64 KiB is refused', async () => {
      const large = Object.fromEntries(
        Array.from({ length: 20 }, (_, index) => [`x-${index}`, 'a'.repeat(4000)]),
      );
      expect(await rawCall(framed(requestSerialize({})), large)).not.toBe('0');
      expect(await stillAnswers()).toBe(true);
    });

    it('rapid resets do not keep others from being answered', async () => {
      const session = openSession(running);
      session.on('error', () => {});
      for (let count = 0; count < 5000 && !session.destroyed; count += 1) {
        const stream = session.request({
          ':method': 'POST',
          ':path': checkPath,
          'content-type': 'application/grpc',
        });
        stream.on('error', () => {});
        stream.close(constants.NGHTTP2_CANCEL);
      }
      expect(await stillAnswers()).toBe(true);
      session.destroy();
    });

    it('garbage instead of HTTP/2 closes the connection', async () => {
      const socket = openSocket(running);
      const { promise, resolve } = Promise.withResolvers<void>();
      socket.on('error', () => {}).on('close', () => resolve());
      socket.resume().write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
      await promise;
      expect(await stillAnswers()).toBe(true);
    });

    it('clients that do not read their answers do not keep others waiting', async () => {
      const session = openSession(running, { settings: { initialWindowSize: 0 } });
      session.on('error', () => {});
      for (let count = 0; count < 200; count += 1) {
        const stream = session.request({
          ':method': 'POST',
          ':path': checkPath,
          'content-type': 'application/grpc',
        });
        stream.on('error', () => {}).end(framed(requestSerialize(checkMessage())));
      }
      await eventually('the checks were decided', () => running.decisions.length >= 200 || undefined);
      expect(await stillAnswers()).toBe(true);
      session.destroy();
    });

    it('more streams than allowed wait for their turn', async () => {
      await running.server.stop();
      running = await startServer((request) => decide(request), { bounds: { maxConcurrentStreams: 2 } });
      let open = 0;
      let most = 0;
      const gates: (() => void)[] = [];
      decide = async () => {
        open += 1;
        most = Math.max(most, open);
        const { promise, resolve } = Promise.withResolvers<void>();
        gates.push(resolve);
        await promise;
        open -= 1;
        return allowed();
      };
      const other = connectToServer(running);
      const answers = Array.from({ length: 6 }, () => check(other, checkMessage()));
      for (let round = 0; round < 6; round += 1) (await eventually('a gate', () => gates.shift()))();
      await Promise.all(answers);
      expect(most).toBeLessThanOrEqual(2);
      other.close();
    });

    it('connections beyond the limit are closed, and one that goes makes room', async () => {
      await running.server.stop();
      running = await startServer(() => allowed(), { bounds: { maxConnections: 3 } });
      const sockets = Array.from({ length: 6 }, () =>
        openSocket(running)
          .on('error', () => {})
          .resume(),
      );
      await eventually(
        'the excess is closed',
        () => sockets.filter(({ closed }) => closed).length === 3 || undefined,
      );
      for (const socket of sockets) socket.destroy();
      const roomAgain = eventually('there is room', () => stillAnswers().catch(() => undefined));
      expect(await roomAgain).toBe(true);
    });

    // Only the local Envoy can open the Unix socket, so the age of its connections has no limit.
    it.each([transportName].filter((name) => name !== 'unix'))(
      'over %s, a connection ends at its age, once its calls are answered, and the next call opens another',
      async () => {
        await running.server.stop();
        running = await startServer((request) => decide(request), { bounds: { maxConnectionAgeMs: 100 } });
        const { promise: decided, resolve: letPass } = Promise.withResolvers<void>();
        decide = () => decided.then(() => allowed());
        const session = openSession(running);
        const { promise: aged, resolve: goAway } = Promise.withResolvers<void>();
        const { promise: closed, resolve: close } = Promise.withResolvers<void>();
        session.on('goaway', () => goAway()).on('close', () => close());
        const stream = session.request({
          ':method': 'POST',
          ':path': checkPath,
          'content-type': 'application/grpc',
        });
        const { promise: answered, resolve: answer } = Promise.withResolvers<unknown>();
        stream.on('trailers', (trailers) => answer(trailers['grpc-status'])).resume();
        stream.end(framed(requestSerialize(checkMessage())));
        await aged;
        letPass();
        expect(await answered).toBe('0');
        await closed;
        expect(await stillAnswers()).toBe(true);
      },
    );

    it('a connection that says nothing is closed', async () => {
      await running.server.stop();
      running = await startServer(() => allowed(), { bounds: { firstByteTimeoutMs: 50 } });
      const { promise, resolve } = Promise.withResolvers<void>();
      openSocket(running)
        .on('error', () => {})
        .on('close', () => resolve())
        .resume();
      await promise;
      expect(await stillAnswers()).toBe(true);
    });
  });

  describe('health', () => {
    it.each(['', 'envoy.service.auth.v3.Authorization'])('of "%s" follows readiness', async (service) => {
      expect((await checkHealth(client, service)).status).toBe(1);
      running.setReady(false);
      expect((await checkHealth(client, service)).status).toBe(2);
    });

    it('of an unknown service is NOT_FOUND', async () => {
      expect((await fails(checkHealth(client, 'other'))).code).toBe(status.NOT_FOUND);
    });

    it('is watched: each change is sent, and the end', async () => {
      const seen: (number | undefined)[] = [];
      const watch = watchHealth(client);
      const { promise: ended, resolve } = Promise.withResolvers<ServiceError>();
      watch.on('data', ({ status: told }: { status?: number }) => seen.push(told));
      watch.on('error', (error) => resolve(error as ServiceError));
      await eventually('first', () => seen.length >= 1 || undefined);
      running.setReady(false);
      running.setReady(false);
      await eventually('second', () => seen.length >= 2 || undefined);
      running.setReady(true);
      await eventually('third', () => seen.length >= 3 || undefined);
      await running.server.stop();
      expect((await ended).code).toBe(status.UNAVAILABLE);
      expect(seen).toEqual([1, 2, 1, 2]);
    });

    it('of an unknown service stays SERVICE_UNKNOWN while it is watched', async () => {
      const seen: (number | undefined)[] = [];
      const watch = watchHealth(client, 'other');
      watch.on('data', ({ status: told }: { status?: number }) => seen.push(told)).on('error', () => {});
      await eventually('first', () => seen.length >= 1 || undefined);
      running.setReady(false);
      await checkHealth(client);
      expect(seen).toEqual([3]);
      watch.cancel();
    });

    it('can be watched by 256 clients, not more', async () => {
      const watches = Array.from({ length: 256 }, () => watchHealth(client));
      let started = 0;
      for (const watch of watches) watch.on('data', () => (started += 1)).on('error', () => {});
      const other = connectToServer(running);
      await eventually('all are watching', () => started === 256 || undefined);
      const { promise, resolve } = Promise.withResolvers<ServiceError>();
      watchHealth(other)
        .on('data', () => {})
        .on('error', (error) => resolve(error as ServiceError));
      expect((await promise).code).toBe(status.RESOURCE_EXHAUSTED);
      for (const watch of watches) watch.cancel();
      other.close();
    });
  });

  async function isListening(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const socket = openSocket(running)
      .on('connect', () => resolve(true))
      .on('error', () => resolve(false));
    return promise.finally(() => socket.destroy());
  }

  describe('stopping', () => {
    it('answers what has begun and takes no new connection', async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      let begun = false;
      decide = async () => {
        begun = true;
        await promise;
        return allowed();
      };
      const { answer } = startCheck(client, checkMessage());
      await eventually('the check has begun', () => begun || undefined);
      const stopped = running.server.stop();
      await eventually('the port is closed', async () => ((await isListening()) ? undefined : true));
      const late = connectToServer(running);
      expect((await fails(check(late, checkMessage()))).code).toBe(status.UNAVAILABLE);
      late.close();
      resolve();
      expect((await answer).okResponse).toBeDefined();
      await stopped;
    });

    it('cuts off what does not end in time', async () => {
      await running.server.stop();
      running = await startServer(() => Promise.withResolvers<never>().promise, { drainMs: 100 });
      const other = connectToServer(running);
      const { answer } = startCheck(other, checkMessage());
      await eventually('connected', () =>
        other.getChannel().getConnectivityState(false) === connectivityState.READY ? true : undefined,
      );
      await running.server.stop();
      expect((await fails(answer)).code).toBe(status.UNAVAILABLE);
      other.close();
    });

    it('does not wait for idle connections', async () => {
      await check(client, checkMessage());
      const before = performance.now();
      await running.server.stop();
      expect(performance.now() - before).toBeLessThan(1000);
    });
  });
});
