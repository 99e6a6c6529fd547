import { once } from 'node:events';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { closeRedis, openRedis } from '../../src/redis/connection.ts';
import { startRedis, type RedisServer } from './redis-server.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

it('closing an ended connection does not keep the process alive', async () => {
  const client = await openRedis({ url: server.url }, { connectionName: 'test' });
  const ended = once(client, 'end');
  closeRedis(client);
  await ended;
  const timers = vi.spyOn(globalThis, 'setTimeout');
  closeRedis(client);
  expect(timers).not.toHaveBeenCalled();
  timers.mockRestore();
});
