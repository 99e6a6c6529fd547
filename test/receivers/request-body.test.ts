import { PassThrough } from 'node:stream';
import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { readBody } from '../../src/receivers/request-body.ts';
import { createFairShare } from '../../src/runtime/fair-share.ts';

function reading(maxBytes: number) {
  const request = Object.assign(new PassThrough(), { headers: {} });
  const read = readBody(request as unknown as IncomingMessage, {
    maxBytes,
    timeoutMs: 60_000,
    bodies: createFairShare({ limit: 1024 }),
    owner: 'sender',
    isReserved: false,
    dropped: () => undefined,
  });
  return { request, read };
}

describe('a body that is being read', () => {
  it('does not keep its chunks, which would keep larger buffers in memory', async () => {
    const { request, read } = reading(100);
    const pieces = ['{"events":', '[]', '}'].map((text) => Buffer.from(text));
    for (const piece of pieces) {
      request.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
      piece.fill('x');
    }
    request.end();
    expect(await read).toEqual({ kind: 'whole', body: Buffer.from('{"events":[]}') });
  });

  it('is read completely in any number of chunks, up to its limit', async () => {
    const { request, read } = reading(5000);
    for (let sent = 0; sent < 5000; sent += 1) request.write('a');
    request.end();
    expect(await read).toEqual({ kind: 'whole', body: Buffer.alloc(5000, 'a') });
    const larger = reading(4999);
    larger.request.end(Buffer.alloc(5000, 'a'));
    expect(await larger.read).toEqual({ kind: 'too_large' });
  });

  it('may be empty', async () => {
    const { request, read } = reading(10);
    request.end();
    expect(await read).toEqual({ kind: 'whole', body: Buffer.alloc(0) });
  });
});
