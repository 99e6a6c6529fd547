import { describe, expect, it } from 'vitest';
import { createMissedNotices } from '../../src/receivers/missed-notices.ts';
import { createOwnerMetrics, Registry } from '../../src/runtime/metrics.ts';
import { capturedLog, steppedClock } from '../token/fixtures.ts';

describe('a missed notice', () => {
  it('is counted each time, and logged at most every ten seconds', async () => {
    const clock = steppedClock();
    const log = capturedLog();
    const metrics = createOwnerMetrics(new Registry());
    const heartbeat = { missed: () => undefined, mayHaveMissed: () => undefined };
    const missed = createMissedNotices({ heartbeat, metrics, clock, log: log.log });
    const at = { receiver: { path: '/events', issuers: ['https://issuer.test'] }, redeliveryMs: 0 };
    for (let count = 0; count < 500; count += 1) missed.possible(at, 'unread');
    clock.nowSeconds += 10;
    missed.possible(at, 'unread');
    missed.possible(at, 'keys');
    expect(log.lines().map(({ level, route, cause, count }) => [level, route, cause, count])).toEqual([
      ['warn', '/events', 'unread', 1],
      ['warn', '/events', 'unread', 500],
      ['warn', '/events', 'keys', 1],
    ]);
    const { values } = await metrics.noticesMissed.get();
    expect(Object.fromEntries(values.map(({ labels, value }) => [labels.cause, value]))).toEqual({
      unread: 501,
      connection: 0,
      keys: 1,
      database: 0,
    });
  });
});
