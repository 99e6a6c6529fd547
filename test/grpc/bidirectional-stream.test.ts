import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BidirectionalStream } from '../../src/grpc/bidirectional-stream.ts';
import { lengthPrefixed } from '../../src/grpc/length-prefix.ts';
import { OpenCalls } from '../../src/grpc/open-calls.ts';
import { readGrpcRequestHead } from '../../src/grpc/request-head.ts';
import type { ConnectionOptions } from '../../src/http2/connection-options.ts';
import { errorCodes, frameTypes, settingIds } from '../../src/http2/frames.ts';
import { eventually } from '../processes.ts';
import { connectEcho, disconnectEcho } from '../http2/connected-echo.ts';
import type { EchoServer } from '../http2/echo-server.ts';
import { dataFrames, openFrame, type RawClient, resetFrame, windowFrame } from '../http2/raw-client.ts';
import { MemoryBudget } from '../../src/http2/memory-budget.ts';
import { createEchoMethod, echoPath, type EchoCall } from './echo-calls.ts';

const maxMessageBytes = 1000;
const streamWindow = 2 * (maxMessageBytes + 5);
const grpc = [['content-type', 'application/grpc']] as const;

const budgetOf = (bytes: number): MemoryBudget =>
  new MemoryBudget({ maxSharedBytes: bytes, maxConnectionBytes: bytes, guaranteedBytes: 0 });

let echo: EchoServer;
let client: RawClient;
let calls: EchoCall[];
let faults: unknown[];
let openCalls: OpenCalls;

async function start(
  overrides: Partial<ConnectionOptions> = {},
  settings: readonly (readonly [id: number, value: number])[] = [],
): Promise<void> {
  const { method, calls: opened } = createEchoMethod();
  calls = opened;
  faults = [];
  openCalls = new OpenCalls();
  const options = { maxMessageBytes, openCalls, onFault: (thrown: unknown) => faults.push(thrown) };
  ({ echo, client } = await connectEcho(
    {
      streamWindow,
      createStream: (connection, id, head) =>
        new BidirectionalStream(
          connection,
          id,
          readGrpcRequestHead(head, new Map([[echoPath, method]])),
          method,
          options,
        ),
      ...overrides,
    },
    settings,
  ));
}

beforeEach(() => start());
afterEach(async () => {
  await disconnectEcho({ echo, client });
  await eventually('all memory is released', () => echo.budget.bytes === 0 || undefined);
  if (faults.length > 0) throw new Error('a handler threw', { cause: faults[0] });
});

async function restart(...args: Parameters<typeof start>): Promise<void> {
  await disconnectEcho({ echo, client });
  await start(...args);
}

const message = (text: string): Buffer => lengthPrefixed(Buffer.from(text, 'latin1'));
const send = (id: number, bytes: Buffer, end = false): void => client.send(...dataFrames(id, bytes, end));
const statusOf = (id: number): string =>
  client.of(id, frameTypes.headers).at(-1)?.payload.toString('latin1') ?? '';

describe('messages of a call', () => {
  it('arrive the same however they are split into frames, with or without pauses', async () => {
    let id = -1;
    const texts = fc.array(fc.string({ unit: 'binary-ascii', maxLength: 200 }), { maxLength: 12 });
    const pieces = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(texts, pieces, fc.boolean(), async (texts, pieces, pauses) => {
        id += 2;
        client.send(openFrame(id, echoPath, grpc));
        await client.handled();
        const entry = calls.at(-1);
        if (pauses) entry?.call.pause();
        const bytes = Buffer.concat(texts.map(message)).subarray(0, streamWindow);
        const whole = texts.filter(
          (_, index) => Buffer.concat(texts.slice(0, index + 1).map(message)).length <= bytes.length,
        );
        for (let at = 0, piece = 0; at < bytes.length; piece += 1) {
          const length = pieces[piece % pieces.length] ?? 1;
          send(id, bytes.subarray(at, at + length));
          at += length;
        }
        await client.handled();
        const whilePaused = entry?.messages.length;
        entry?.call.resume();
        expect([whilePaused, entry?.messages]).toEqual([pauses ? 0 : whole.length, whole]);
        client.send(resetFrame(id, errorCodes.cancel));
        await client.handled();
        expect(entry?.events).toEqual(['cancelled']);
      }),
      { numRuns: 200 },
    );
    expect([client.goneAway(), echo.budget.bytes]).toEqual([[], 0]);
  });

  it('that is incomplete at the half-close fails the call', async () => {
    client.send(openFrame(1, echoPath, grpc));
    send(1, message('whole'));
    send(1, message('cut off').subarray(0, 8), true);
    await client.answer(1);
    expect(statusOf(1)).toContain('incomplete message');
    expect([calls[0]?.messages, calls[0]?.events]).toEqual([['whole'], ['cancelled']]);
  });

  it('that are held count in the memory budget, and nothing does while a call waits', async () => {
    client.send(openFrame(1, echoPath, grpc));
    send(1, message('one'));
    await client.handled();
    const idle = echo.budget.bytes;
    calls[0]?.call.pause();
    send(1, message('x'.repeat(500)));
    await client.handled();
    expect(echo.budget.bytes).toBe(idle + 505 + 512);
    calls[0]?.call.resume();
    expect(echo.budget.bytes).toBe(idle);
    expect(calls[0]?.messages).toHaveLength(2);
  });

  it('beyond the memory budget end their call, and no other', async () => {
    await restart({ budget: budgetOf(6000) });
    client.send(...[1, 3, 5].map((id) => openFrame(id, echoPath, grpc)));
    await client.handled();
    for (const { call } of calls) call.pause();
    for (const id of [1, 3, 5]) send(id, message('x'.repeat(900)));
    send(5, message('x'.repeat(900)));
    await client.handled();
    expect(statusOf(5)).toContain('too many messages at once');
    expect(calls.map(({ events }) => events)).toEqual([[], [], ['cancelled']]);
    calls[0]?.call.resume();
    expect(calls[0]?.messages).toHaveLength(1);
  });

  it('that decompress to far more than their size are charged to the client', async () => {
    await restart({ errorLimit: { burst: 10, perSecond: 0 } });
    client.send(openFrame(1, echoPath, [...grpc, ['grpc-encoding', 'gzip']]));
    const bomb = message(gzipSync(Buffer.alloc(1000)).toString('latin1'));
    bomb[0] = 1;
    for (let count = 0; count < 20; count += 1) send(1, bomb);
    await client.closed();
    expect(client.goneAway().map(({ code }) => code)).toEqual([errorCodes.enhanceYourCalm]);
    expect(calls[0]?.messages).toHaveLength(10);
  });
});

describe('a client that resets its calls', () => {
  it('is not charged for a call that was answered, and is for others', async () => {
    await restart({ controlFrameLimit: { burst: 20, perSecond: 0 } });
    for (let id = 1; id < 161; id += 2) {
      client.send(openFrame(id, echoPath, grpc));
      send(id, message('x'));
    }
    await client.waitFor('all echoes', () => client.body(159).length > 0 || undefined);
    for (let id = 1; id < 161; id += 2) client.send(resetFrame(id, errorCodes.cancel));
    await client.handled();
    expect([client.goneAway(), echo.connections[0]?.openStreams]).toEqual([[], 0]);
    for (let id = 161; id < 211; id += 2)
      client.send(openFrame(id, echoPath, grpc), resetFrame(id, errorCodes.cancel));
    await client.closed();
    expect(client.goneAway().map(({ code }) => code)).toEqual([errorCodes.enhanceYourCalm]);
    expect(openCalls.endAll()).toBe(false);
  });
});

describe('what a call writes', () => {
  it('waits for hours, and for two sweeps after its end', async () => {
    await restart({}, [[settingIds.initialWindowSize, 0]]);
    const connection = echo.connections[0];
    client.send(openFrame(1, echoPath, grpc));
    send(1, message('x'));
    await client.handled();
    for (let count = 0; count < 1000; count += 1) connection?.sweep();
    expect(calls[0]?.call.isOver).toBe(false);
    calls[0]?.call.end();
    connection?.sweep();
    await client.handled();
    expect(client.resetCode(1)).toBeUndefined();
    connection?.sweep();
    expect(await client.reset(1)).toBe(errorCodes.cancel);
    expect(calls[0]?.events).toEqual(['ended']);
  });

  it('is dropped when the server cancels the call', async () => {
    await restart({}, [[settingIds.initialWindowSize, 0]]);
    client.send(openFrame(1, echoPath, grpc));
    send(1, message('x'));
    await client.handled();
    calls[0]?.call.cancel();
    expect(await client.reset(1)).toBe(errorCodes.cancel);
    client.send(windowFrame(1, 100));
    await client.handled();
    expect([client.body(1).length, calls[0]?.events]).toEqual([0, ['ended']]);
  });
});
