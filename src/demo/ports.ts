import { createServer } from 'node:net';
import { Fault } from '../runtime/fault.ts';

/** A TCP port of 127.0.0.1 that is free at the moment. */
export async function freePort(): Promise<number> {
  const port = await tryPort(0);
  if (port === undefined) throw new Fault('ERR_LISTEN_FAILED', 'no free TCP port on 127.0.0.1');
  return port;
}

/**
 * The port, if it is free.
 * @throws ERR_ADDRESS_IN_USE, which names the option that chooses another port
 */
export async function requirePort(port: number, option: string, purpose: string): Promise<number> {
  if ((await tryPort(port)) !== undefined) return port;
  throw new Fault(
    'ERR_ADDRESS_IN_USE',
    `port ${port} (${purpose}) is in use; stop the process that uses it, or choose another with ${option} PORT`,
  );
}

async function tryPort(port: number): Promise<number | undefined> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  server.once('error', () => resolve(undefined));
  server.listen(port, '127.0.0.1', () => {
    const address = server.address();
    resolve(address !== null && typeof address === 'object' ? address.port : undefined);
  });
  const found = await promise;
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  await closed.promise;
  return found;
}
