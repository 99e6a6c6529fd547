import type { ConnectionOptions } from '../../src/http2/connection-options.ts';
import type { Connection } from '../../src/http2/connection.ts';
import { frameTypes } from '../../src/http2/frames.ts';
import { createEchoServer, type EchoServer } from './echo-server.ts';
import { RawClient } from './raw-client.ts';

/** A server with one client, after both have sent their SETTINGS. */
export type ConnectedEcho = {
  readonly echo: EchoServer;
  readonly client: RawClient;
  /** The server's side of the client's connection. */
  readonly connection: Connection;
};

/** @param settings the client's */
export async function connectEcho(
  overrides: Partial<ConnectionOptions> = {},
  settings: readonly (readonly [id: number, value: number])[] = [],
): Promise<ConnectedEcho> {
  const echo = createEchoServer(overrides);
  const client = await RawClient.connect(await echo.listen());
  client.hello(settings);
  await client.handled();
  const [connection] = echo.connections;
  if (connection === undefined) throw new Error('no connection');
  return { echo, client, connection };
}

export async function disconnectEcho({ echo, client }: Omit<ConnectedEcho, 'connection'>): Promise<void> {
  client.destroy();
  await echo.stop();
}

/** The payload of the PING that follows the first GOAWAY of a drain. Waits for it. */
export async function drainPing(client: RawClient): Promise<Buffer> {
  return await client.waitFor(
    'a ping',
    () => client.of(0, frameTypes.ping).find(({ flags }) => flags === 0)?.payload,
  );
}
