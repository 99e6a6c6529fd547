import { existsSync, renameSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../temporary.ts';
import { allowed, check, checkMessage, connectTo, startServer } from './grpc-fixture.ts';

describe.each(['native', 'grpc-js'] as const)('the Unix socket of the engine %s', (engine) => {
  it('is for the owner and the group, replaces a dead one, and goes when the server stops', async () => {
    const path = join(temporaryDirectory(), 'authorizer.sock');
    await leaveDeadSocket(path);
    const server = await startServer(() => allowed(), { engine, address: { kind: 'unix', path } });
    expect(statSync(path).mode & 0o777).toBe(0o660);
    const other = connectTo(server.target);
    expect((await check(other, checkMessage())).okResponse).toBeDefined();
    other.close();
    await server.server.stop();
    expect(existsSync(path)).toBe(false);
  });

  it('that is alive is not taken', async () => {
    const path = join(temporaryDirectory(), 'authorizer.sock');
    const first = await startServer(() => allowed(), { engine, address: { kind: 'unix', path } });
    await expect(
      startServer(() => allowed(), { engine, address: { kind: 'unix', path } }),
    ).rejects.toMatchObject({
      code: 'ERR_ADDRESS_IN_USE',
    });
    await first.server.stop();
  });
});

/** A socket file whose process is gone. */
async function leaveDeadSocket(path: string): Promise<void> {
  const server = createServer();
  const listening = Promise.withResolvers<void>();
  server.listen(path, () => listening.resolve());
  await listening.promise;
  renameSync(path, `${path}.moved`);
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  await closed.promise;
  renameSync(`${path}.moved`, path);
}
