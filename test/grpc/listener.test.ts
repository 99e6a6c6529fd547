import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { createTransport } from '../../src/grpc/listener.ts';
import { createLog } from '../../src/runtime/log.ts';
import { collectGarbage } from '../collect-garbage.ts';
import { RawClient } from '../http2/raw-client.ts';

it('a connection that has ended is not kept until its time for a first byte is up', async () => {
  let accepted: WeakRef<Socket> | undefined;
  const transport = createTransport({
    tls: undefined,
    maxConnections: 10,
    helloTimeoutMs: 60_000,
    log: createLog({ program: 'test', level: 'silent' }),
    onConnection: (socket) => {
      accepted = new WeakRef(socket);
      socket.resume();
    },
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  transport.server.listen(0, '127.0.0.1', () => resolve());
  await promise;
  const address = transport.server.address();
  const client = await RawClient.connect(typeof address === 'object' ? (address?.port ?? 0) : 0);
  await expect.poll(() => accepted !== undefined).toBe(true);
  client.destroy();
  await transport.close();
  await collectGarbage();
  expect(accepted?.deref()).toBeUndefined();
});
