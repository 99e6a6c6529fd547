import { expect, it, onTestFinished } from 'vitest';
import { createEchoServer } from './echo-server.ts';
import { RawClient, request } from './raw-client.ts';

it('an exception while a request is read ends its connection, and no other', async () => {
  const bug = new Error('a bug');
  let released = 0;
  const echo = createEchoServer({
    onReleased: () => (released += 1),
    createStream: () => {
      throw bug;
    },
  });
  const port = await echo.listen();
  const [one, other] = [await RawClient.connect(port), await RawClient.connect(port)];
  onTestFinished(async () => {
    one.destroy();
    other.destroy();
    await echo.stop();
  });
  one.hello();
  other.hello();
  await other.handled();
  one.send(request(1, 'hello'));
  await one.closed();
  expect(echo.faults).toEqual([bug]);
  expect(echo.closed()).toBe(1);
  expect([released, echo.budget.bytes]).toEqual([1, 0]);
  await other.handled();
});
