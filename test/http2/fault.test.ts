import { expect, it, onTestFinished } from 'vitest';
import { createEchoServer } from './echo-server.ts';
import { RawClient, request } from './raw-client.ts';

it('a defect while a request is read ends its connection, and no other', async () => {
  const defect = new Error('a defect');
  let free = 0;
  const echo = createEchoServer({
    onFree: () => (free += 1),
    open: () => {
      throw defect;
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
  await other.taken();
  one.send(request(1, 'hello'));
  await one.closed();
  expect(echo.faults).toEqual([defect]);
  expect(echo.over()).toBe(1);
  expect([free, echo.budget.bytes]).toEqual([1, 0]);
  await other.taken();
});
