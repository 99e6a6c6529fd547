import {
  Client,
  compressionAlgorithms,
  status,
  type ChannelOptions,
  type ClientDuplexStream,
} from '@grpc/grpc-js';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { BidirectionalHandler } from '../../src/grpc/bidirectional-method.ts';
import { createHealthService } from '../../src/grpc/health-service.ts';
import { lengthPrefixed } from '../../src/grpc/length-prefix.ts';
import type { EngineName } from '../../src/grpc/engine-choice.ts';
import { createGrpcServer, type GrpcServer, type GrpcServerOptions } from '../../src/grpc/server.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { eventually } from '../processes.ts';
import { capturedLog } from '../token/fixtures.ts';
import { openFrame, RawClient } from '../http2/raw-client.ts';
import { createEchoMethod, echoPath, type EchoCall } from './echo-calls.ts';
import { targetOf } from './grpc-fixture.ts';
import { combinations, createTransport, type TransportName } from './transports.ts';

const engines = ['native', 'grpc-js'] as const;

type Setting = {
  readonly engine: EngineName;
  readonly transport?: TransportName;
  readonly handler?: (entry: EchoCall) => Partial<BidirectionalHandler>;
  readonly maxOpenCalls?: number;
  readonly options?: Partial<GrpcServerOptions>;
  readonly channel?: ChannelOptions;
};

type Running = {
  readonly server: GrpcServer;
  readonly client: Client;
  readonly calls: EchoCall[];
  readonly log: ReturnType<typeof capturedLog>;
};

async function start({
  engine,
  transport = 'tcp',
  handler,
  maxOpenCalls,
  options,
  channel,
}: Setting): Promise<Running> {
  const { method, calls } = createEchoMethod(handler, maxOpenCalls);
  const { address, tls, channelCredentials } = createTransport(transport);
  const log = capturedLog();
  const server = createGrpcServer({
    address,
    tls,
    methods: [method],
    health: createHealthService({ services: [], isReady: () => true }),
    drainMs: 2000,
    clock: systemClock,
    engine,
    log: log.log,
    ...options,
  });
  await server.start();
  const client = new Client(targetOf(server.boundAddress()), channelCredentials, {
    'grpc.enable_retries': 0,
    'grpc.use_local_subchannel_pool': 1,
    ...channel,
  });
  onTestFinished(async () => {
    client.close();
    await server.stop();
  });
  return { server, client, calls, log };
}

type Call = {
  readonly stream: ClientDuplexStream<string, string>;
  readonly received: string[];
  readonly status: Promise<number>;
  send(...messages: string[]): void;
};

function talk(client: Client, deadline?: number): Call {
  const stream = client.makeBidiStreamRequest<string, string>(
    echoPath,
    (text) => Buffer.from(text, 'latin1'),
    (bytes) => bytes.toString('latin1'),
    deadline === undefined ? {} : { deadline },
  );
  const received: string[] = [];
  stream.on('data', (text: string) => received.push(text));
  stream.on('error', () => {});
  const { promise, resolve } = Promise.withResolvers<number>();
  stream.on('status', ({ code }) => resolve(code));
  return {
    stream,
    received,
    status: promise,
    send: (...messages) => {
      for (const message of messages) stream.write(message);
    },
  };
}

/** A client of grpc-js that cancels sends END_STREAM first, which must not end the call here. */
const staysOpen = (): Partial<BidirectionalHandler> => ({ onHalfClose: () => {} });

const until = (what: () => boolean): Promise<boolean> =>
  eventually('the calls are so far', () => what() || undefined);
const kilobytes = (count: number, seed = 'x'): string => seed.repeat(1024 * count);

describe.each(combinations)('a bidirectional call on %s over %s', (engine, transport) => {
  it('exchanges messages in both directions and ends with OK', async () => {
    const { client, calls } = await start({ engine, transport });
    const call = talk(client);
    call.send('one', '', 'two');
    await until(() => call.received.length === 3);
    call.send('three');
    await until(() => call.received.length === 4);
    call.stream.end();
    expect(await call.status).toBe(status.OK);
    expect(call.received).toEqual(['one', '', 'two', 'three']);
    expect(calls.map(({ messages, events }) => [messages, events])).toEqual([
      [
        ['one', '', 'two', 'three'],
        ['half-close', 'ended'],
      ],
    ]);
  });

  it('carries large messages, and many calls at once', async () => {
    const { client } = await start({ engine, transport });
    const calls = Array.from({ length: 20 }, () => talk(client));
    const sent = Array.from({ length: 10 }, (_, index) => kilobytes(index * 12, String(index)));
    for (const call of calls) {
      call.send(...sent);
      call.stream.end();
    }
    expect(await Promise.all(calls.map((call) => call.status))).toEqual(calls.map(() => status.OK));
    for (const call of calls) expect(call.received).toEqual(sent);
  });
});

describe.each(engines)('a bidirectional call on %s', (engine) => {
  it('goes on after the half-close of the client', async () => {
    const { client, calls } = await start({ engine, handler: () => ({ onHalfClose: () => {} }) });
    const call = talk(client);
    call.send('one');
    call.stream.end();
    await until(() => call.received.length === 1);
    calls[0]?.call.write(lengthPrefixed(Buffer.from('later')));
    calls[0]?.call.end();
    expect([await call.status, call.received]).toEqual([status.OK, ['one', 'later']]);
  });

  it('may be ended by the server with a status while the client still sends', async () => {
    const { client, calls } = await start({
      engine,
      handler: ({ call }) => ({ onMessage: () => call.reject(status.PERMISSION_DENIED, 'no more') }),
    });
    const call = talk(client);
    call.send('one', 'two', 'three');
    expect(await call.status).toBe(status.PERMISSION_DENIED);
    await until(() => calls[0]?.events.length === 1);
    expect([calls[0]?.events, calls[0]?.call.isOver]).toEqual([['ended'], true]);
  });

  it('may be ended while it is opened', async () => {
    const { client, calls } = await start({
      engine,
      handler: ({ call }) => {
        call.reject(status.UNAUTHENTICATED, 'who are you?');
        return {};
      },
    });
    expect(await talk(client).status).toBe(status.UNAUTHENTICATED);
    expect(calls[0]?.events).toEqual(['ended']);
  });

  it('is over when the client cancels it, and what is written then goes nowhere', async () => {
    const { client, calls } = await start({ engine, handler: staysOpen });
    const call = talk(client);
    call.send('one');
    await until(() => call.received.length === 1);
    call.stream.cancel();
    expect(await call.status).toBe(status.CANCELLED);
    await until(() => calls[0]?.events.length === 1);
    expect(calls[0]?.events).toEqual(['cancelled']);
    expect(calls[0]?.call.write(lengthPrefixed(Buffer.from('x')))).toBe(false);
    calls[0]?.call.end();
    calls[0]?.call.cancel();
    expect(calls[0]?.events).toEqual(['cancelled']);
  });

  it('is over when its connection ends', async () => {
    const { server, calls } = await start({ engine, handler: staysOpen });
    const address = server.boundAddress();
    const client = await RawClient.connect(address.kind === 'tcp' ? address.port : 0);
    client.hello();
    client.send(openFrame(1, echoPath, [['content-type', 'application/grpc']]));
    await until(() => calls.length === 1);
    client.destroy();
    await until(() => calls[0]?.events.length === 1);
    expect(calls[0]?.events).toEqual(['cancelled']);
  });

  it('may be cancelled by the server', async () => {
    const { client, calls } = await start({ engine });
    const call = talk(client);
    call.send('one');
    await until(() => call.received.length === 1);
    calls[0]?.call.cancel();
    expect(await call.status).toBe(status.CANCELLED);
    expect(calls[0]?.events).toEqual(['ended']);
  });

  it('stops a client while the handler is paused, holds bounded bytes, and loses nothing', async () => {
    const { client, calls } = await start({
      engine,
      handler: (entry) => ({
        onMessage: (message) => {
          entry.messages.push(message.toString('latin1'));
          if (message.length === 1) entry.call.pause();
        },
      }),
    });
    const call = talk(client);
    let flushed = 0;
    call.stream.write('p');
    await until(() => calls[0]?.messages.length === 1);
    const sent = Array.from({ length: 100 }, (_, index) => kilobytes(16, String(index % 10)));
    for (const message of sent) call.stream.write(message, () => (flushed += message.length));
    call.stream.end();
    // Another call on the connection goes on.
    const other = talk(client);
    for (let count = 1; count <= 50; count += 1) {
      other.send('p');
      await until(() => calls[1]?.messages.length === count);
      calls[1]?.call.resume();
    }
    expect(calls[0]?.messages).toHaveLength(1);
    // What the client could send is bounded by the flow-control window, and what the engine read ahead.
    expect(flushed).toBeLessThan(1024 * 1024);
    calls[0]?.call.resume();
    expect(await call.status).toBe(status.OK);
    expect(calls[0]?.messages.slice(1)).toEqual(sent);
    expect(calls[0]?.events).toEqual(['half-close', 'ended']);
    other.stream.cancel();
  });

  it('may be paused between two messages that arrive together', async () => {
    const { client, calls } = await start({
      engine,
      handler: (entry) => ({
        onMessage: (message) => {
          entry.messages.push(message.toString('latin1'));
          entry.call.pause();
        },
      }),
    });
    const call = talk(client);
    call.send('one', 'two', 'three');
    call.stream.end();
    for (const count of [1, 2, 3]) {
      await until(() => calls[0]?.messages.length === count);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect([calls[0]?.messages.length, calls[0]?.events]).toEqual([count, []]);
      calls[0]?.call.resume();
    }
    expect(await call.status).toBe(status.OK);
  });

  it('tells the handler when to stop writing, and when to go on', async () => {
    let isFull = false;
    const message = lengthPrefixed(Buffer.from(kilobytes(16)));
    let written = 0;
    const fill = ({ call }: EchoCall): void => {
      while (written < 400) {
        written += 1;
        if (call.write(message)) continue;
        isFull = true;
        return;
      }
      call.end();
    };
    const { client, calls } = await start({
      engine,
      handler: (entry) => ({
        onMessage: () => fill(entry),
        onWritable: () => {
          entry.events.push('writable');
          fill(entry);
        },
      }),
    });
    const call = talk(client);
    call.stream.pause();
    call.send('go');
    await until(() => isFull);
    await new Promise((resolve) => setTimeout(resolve, 100));
    // The windows of the client, and 64 KiB of queue: far less than all of it.
    expect(written).toBeLessThan(400);
    call.stream.resume();
    expect(await call.status).toBe(status.OK);
    expect(call.received).toHaveLength(400);
    expect(calls[0]?.events.filter((event) => event === 'writable').length).toBeGreaterThan(1);
  });

  it('ends with RESOURCE_EXHAUSTED for a handler that goes on writing all the same', async () => {
    const message = lengthPrefixed(Buffer.from(kilobytes(64)));
    let written = 0;
    const { client, calls } = await start({
      engine,
      handler: ({ call }) => ({
        onMessage: () => {
          for (; !call.isOver && written < 1000; written += 1) call.write(message);
        },
      }),
    });
    const call = talk(client);
    call.stream.pause();
    call.send('go');
    await until(() => calls[0]?.events.length === 1);
    expect([calls[0]?.events, written < 100]).toEqual([['cancelled'], true]);
    call.stream.resume();
    expect(await call.status).toBe(status.RESOURCE_EXHAUSTED);
  });

  it('ends with RESOURCE_EXHAUSTED for a message above the limit', async () => {
    const { client, calls } = await start({ engine, options: { bounds: { maxMessageBytes: 1000 } } });
    const call = talk(client);
    call.send('x'.repeat(1000), 'x'.repeat(1001));
    expect(await call.status).toBe(status.RESOURCE_EXHAUSTED);
    await until(() => calls[0]?.events.length === 1);
    expect([calls[0]?.events, calls[0]?.messages.length]).toEqual([['cancelled'], 1]);
  });

  it.each([
    ['deflate', compressionAlgorithms.deflate],
    ['gzip', compressionAlgorithms.gzip],
  ])('reads messages compressed with %s', async (_, algorithm) => {
    const { client } = await start({
      engine,
      channel: { 'grpc.default_compression_algorithm': algorithm },
    });
    const call = talk(client);
    const text = Array.from({ length: 100 }, (_, index) => index * 7919).join(' ');
    call.send(text, text, 'short');
    call.stream.end();
    expect(await call.status).toBe(status.OK);
    expect(call.received).toEqual([text, text, 'short']);
  });

  it('is bounded in number, and counts until it is over', async () => {
    const { client } = await start({ engine, maxOpenCalls: 2 });
    const [first, second] = [talk(client), talk(client)];
    first.send('x');
    second.send('x');
    await until(() => first.received.length + second.received.length === 2);
    expect(await talk(client).status).toBe(status.RESOURCE_EXHAUSTED);
    first.stream.cancel();
    await first.status;
    second.stream.end();
    await second.status;
    const more = [talk(client), talk(client)];
    for (const call of more) call.send('x');
    await until(() => more.every((call) => call.received.length === 1));
    for (const call of more) call.stream.cancel();
  });

  it('ends with INTERNAL when the handler throws, and no other call does', async () => {
    const { client, calls, log } = await start({
      engine,
      handler: (entry) => ({
        onMessage: (message) => {
          if (message.length === 0) throw new Error('a bug');
          entry.call.write(lengthPrefixed(message));
        },
      }),
    });
    const [good, bad] = [talk(client), talk(client)];
    good.send('one');
    await until(() => good.received.length === 1);
    bad.send('');
    expect(await bad.status).toBe(status.INTERNAL);
    good.send('two');
    await until(() => good.received.length === 2);
    expect(calls.map(({ events }) => events)).toEqual([[], ['cancelled']]);
    expect(log.text()).toContain('call failed for a defect');
    good.stream.cancel();
  });

  it('ends at its deadline', async () => {
    const { client, calls } = await start({ engine, handler: staysOpen });
    const call = talk(client, Date.now() + 300);
    call.send('one');
    expect(await call.status).toBe(status.DEADLINE_EXCEEDED);
    await until(() => calls[0]?.events[0] === 'cancelled');
  });

  it('may go on while the server drains, and end', async () => {
    const { client, server, calls } = await start({ engine });
    const call = talk(client);
    call.send('one');
    await until(() => call.received.length === 1);
    const stopped = server.stop();
    await new Promise((resolve) => setTimeout(resolve, 100));
    call.send('two');
    await until(() => call.received.length === 2);
    call.stream.end();
    expect(await call.status).toBe(status.OK);
    await stopped;
    expect(calls[0]?.events).toEqual(['half-close', 'ended']);
  });

  it('ends with UNAVAILABLE when it is still open at the end of the drain', async () => {
    const { client, server, calls } = await start({ engine, options: { drainMs: 200 } });
    const call = talk(client);
    call.send('one');
    await until(() => call.received.length === 1);
    await server.stop();
    expect(await call.status).toBe(status.UNAVAILABLE);
    expect(calls[0]?.events).toEqual(['cancelled']);
  });
});

describe.each(engines)('over hours, a bidirectional call on %s', (engine) => {
  afterEach(() => void vi.useRealTimers());

  /** Passes simulated time in steps in which keepalive PINGs are answered. */
  async function pass(hours: number): Promise<void> {
    for (let seconds = 0; seconds < hours * 3600; seconds += 5) {
      await vi.advanceTimersByTimeAsync(5000);
      // Lets both sides read their sockets.
      for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  it('outlives keepalives, the age of its connection, and hours without a message', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'setInterval', 'clearTimeout', 'clearInterval'] });
    const { client, calls } = await start({ engine });
    const turns = async (call: Call, count: number): Promise<void> => {
      for (let turn = 0; turn < 10_000 && call.received.length < count; turn += 1)
        await new Promise((resolve) => setImmediate(resolve));
      expect(call.received).toHaveLength(count);
    };
    const call = talk(client);
    call.send('first');
    // Opened without a message for all the time.
    const silent = talk(client);
    await turns(call, 1);
    for (const count of [2, 3, 4]) {
      await pass(1);
      call.send('and again');
      await turns(call, count);
    }
    silent.send('at last');
    await turns(silent, 1);
    expect(calls.map(({ events }) => events)).toEqual([[], []]);
    call.stream.end();
    silent.stream.end();
    expect([await call.status, await silent.status]).toEqual([status.OK, status.OK]);
    vi.useRealTimers();
  }, 60_000);
});
