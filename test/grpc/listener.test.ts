import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { createListener } from '../../src/grpc/listener.ts';
import { defaultBounds } from '../../src/grpc/server-bounds.ts';
import { createLog } from '../../src/runtime/log.ts';
import { collectGarbage } from '../collect-garbage.ts';
import { RawClient } from '../http2/raw-client.ts';

it('a connection that has ended is not kept until its time for a first byte is up', async () => {
  let accepted: WeakRef<Socket> | undefined;
  const listener = createListener({
    tls: undefined,
    maxConnections: 10,
    bounds: { ...defaultBounds, firstByteTimeoutMs: 60_000 },
    log: createLog({ program: 'test', level: 'silent' }),
    onConnection: (socket) => {
      accepted = new WeakRef(socket);
      socket.resume();
    },
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  listener.server.listen(0, '127.0.0.1', () => resolve());
  await promise;
  const address = listener.server.address();
  const client = await RawClient.connect(typeof address === 'object' ? (address?.port ?? 0) : 0);
  await expect.poll(() => accepted !== undefined).toBe(true);
  client.destroy();
  await listener.close();
  await collectGarbage();
  expect(accepted?.deref()).toBeUndefined();
});
