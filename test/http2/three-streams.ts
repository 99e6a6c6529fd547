import { createEchoServer, type EchoServer } from './echo-server.ts';
import { dataFrames, openFrame, RawClient, request } from './raw-client.ts';

/** The receive window of each stream; bytes. */
export const streamWindow = 20_000;

/**
 * The streams at the start of every case: one is closed, one has sent part of its body, one waits for its
 * response.
 */
export const closed = 1;
export const open = 5;
export const waiting = 7;
/** The stream that a case may open, and the one of the request that follows the case. */
export const fresh = 9;
export const after = 99;

/** Starts a server, and a client with these streams. */
export async function beginThree(): Promise<[echo: EchoServer, client: RawClient]> {
  const echo = createEchoServer({ streamWindow });
  const client = await RawClient.connect(await echo.listen());
  client.hello();
  client.send(request(closed, 'closed'));
  await client.answer(closed);
  client.send(openFrame(open), ...dataFrames(open, Buffer.from('part'), false));
  client.send(request(waiting, 'waiting', '/never'));
  await client.handled();
  if (echo.connections[0]?.openStreams !== 2) throw new Error('not two open streams');
  return [echo, client];
}
