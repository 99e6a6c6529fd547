import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readGrpcRequestHead } from '../../src/grpc/request-head.ts';
import { MemoryBudget } from '../../src/http2/memory-budget.ts';
import { repeatedLists } from '../../src/grpc/failure.ts';
import { MessageStream } from '../../src/grpc/message-stream.ts';
import { acceptMethod } from './accepted-method.ts';
import { createEchoServer, type EchoServer } from '../http2/echo-server.ts';
import { dataFrames, openFrame, RawClient, request } from '../http2/raw-client.ts';

const path = '/test/Call';
const grpc = [['content-type', 'application/grpc']] as const;
const message = Buffer.from('\0\0\0\0\x32'.padEnd(55, 'x'), 'latin1');

class TestStream extends MessageStream {
  protected override onMessage(bytes: Buffer): void {
    this.send(bytes);
  }
}

describe('what is kept of messages that come in pieces', () => {
  let echo: EchoServer;
  let client: RawClient;
  let held: MemoryBudget;

  beforeEach(async () => {
    held = new MemoryBudget({ maxSharedBytes: 4100, maxConnectionBytes: 4100, guaranteedBytes: 0 });
    echo = createEchoServer({
      repeatedLists,
      budget: held,
      createStream: (connection, id, head) =>
        new TestStream(connection, id, readGrpcRequestHead(head, acceptMethod(path)), 100),
    });
    client = await RawClient.connect(await echo.listen());
    client.hello();
  });
  afterEach(async () => {
    client.destroy();
    await echo.stop();
  });

  const begin = (id: number): Buffer =>
    Buffer.concat([openFrame(id, path, grpc), ...dataFrames(id, message.subarray(0, 20), false)]);
  const trailers = (id: number): string => client.of(id, 1).at(-1)?.payload.toString('latin1') ?? '';

  it('is bounded for all of them: the one over the bound is refused, and the others are answered', async () => {
    // Each keeps 20 bytes, and 512 each for the piece and the stream.
    client.send(begin(1), begin(3), begin(5));
    await client.handled();
    expect(held.bytes).toBe(3 * 1044);
    client.send(begin(7), ...dataFrames(7, message.subarray(20)));
    await client.answer(7);
    expect(trailers(7)).toContain('too many messages at once');
    expect(held.bytes).toBe(3 * 1044);
    expect(trailers(1)).toBe('');
    client.send(...dataFrames(1, message.subarray(20)), request(9, message, path, grpc));
    expect(await client.answer(1)).toBe('x'.repeat(50));
    expect(await client.answer(9)).toBe('x'.repeat(50));
    expect(held.bytes).toBe(2 * 1044);
    expect(client.goneAway()).toEqual([]);
  });

  it('is released with its call, however that ends', async () => {
    client.send(begin(1), begin(3));
    await client.handled();
    client.destroy();
    await client.closed();
    await expect.poll(() => held.bytes).toBe(0);
  });
});
