import { createEchoServer, type EchoServer } from './echo-server.ts';
import { dataFrames, openFrame, RawClient, request } from './raw-client.ts';

/** Of each stream's body; octets. */
export const streamWindow = 20_000;

/** Streams as every case finds them: one that is over, one whose body is on its way, one that waits for its answer. */
export const over = 1;
export const open = 5;
export const waiting = 7;
/** The one that a case may open, and the one that is asked for after it. */
export const fresh = 9;
export const after = 99;

/** A server, and a client with these streams. */
export async function beginThree(): Promise<[echo: EchoServer, client: RawClient]> {
  const echo = createEchoServer({ streamWindow });
  const client = await RawClient.connect(await echo.listen());
  client.hello();
  client.send(request(over, 'over'));
  await client.answer(over);
  client.send(openFrame(open), ...dataFrames(open, Buffer.from('part'), false));
  client.send(request(waiting, 'waiting', '/never'));
  await client.taken();
  if (echo.connections[0]?.openStreams !== 2) throw new Error('not two open streams');
  return [echo, client];
}
