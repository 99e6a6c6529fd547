import { describe, expect, it, onTestFinished } from 'vitest';
import { outboxMigrations } from '../../src/publisher/outbox.ts';
import { receiverMigrations } from '../../src/receivers/receivers.ts';
import { createRefusalThrottle } from '../../src/receivers/refusal-throttle.ts';
import { createDeliveryStore } from '../../src/receivers/store/delivery-store.ts';
import { migrate, openDatabase } from '../../src/database/database.ts';
import { steppedClock } from '../token/fixtures.ts';

describe('the ids of deliveries', () => {
  it('are kept until they are purged, and a purge deletes expired ids only', async () => {
    const database = openDatabase({ sqlite: ':memory:' });
    onTestFinished(() => database.close());
    await migrate(database, [outboxMigrations, receiverMigrations]);
    const store = createDeliveryStore(database);
    const recordOnce = (id: string, expiresAtMs: number) =>
      database.db.transaction().execute(async (trx) => await store.recordOnce(trx, id, expiresAtMs));

    for (let id = 0; id < 1200; id += 1) await recordOnce(`old-${id}`, 1000 + id);
    expect(await recordOnce('young', 5000)).toBe(true);
    expect(await recordOnce('young', 9000)).toBe(false);
    expect(await store.purge(3000)).toBe(1200);
    expect(await recordOnce('young', 5000)).toBe(false);
    expect(await store.purge(5001)).toBe(1);
    expect(await recordOnce('young', 5000)).toBe(true);
  });

  it('are not kept if their transaction fails', async () => {
    const database = openDatabase({ sqlite: ':memory:' });
    onTestFinished(() => database.close());
    await migrate(database, [outboxMigrations, receiverMigrations]);
    const store = createDeliveryStore(database);
    const failing = database.db.transaction().execute(async (trx) => {
      await store.recordOnce(trx, 'id', 5000);
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    const again = database.db.transaction().execute(async (trx) => await store.recordOnce(trx, 'id', 5000));
    expect(await again).toBe(true);
  });
});

describe('the throttle of refusals', () => {
  it('makes an address wait after a burst, and no other', () => {
    const clock = steppedClock();
    const throttle = createRefusalThrottle(clock, { burst: 3, refillEveryMs: 2000 });
    for (let count = 0; count < 3; count += 1) {
      expect(throttle.waitMs('a')).toBe(0);
      throttle.refused('a');
    }
    expect(throttle.waitMs('a')).toBe(2000);
    expect(throttle.waitMs('b')).toBe(0);
    clock.nowSeconds += 2;
    expect(throttle.waitMs('a')).toBe(0);
    throttle.refused('a');
    expect(throttle.waitMs('a')).toBe(2000);
  });

  it('never exceeds one burst, however many deliveries were refused at once', () => {
    const clock = steppedClock();
    const throttle = createRefusalThrottle(clock, { burst: 3, refillEveryMs: 1000 });
    for (let count = 0; count < 500; count += 1) throttle.refused('a');
    expect(throttle.waitMs('a')).toBe(1000);
  });

  it('keeps a limited number of addresses, those that were refused last', () => {
    const throttle = createRefusalThrottle(steppedClock(), { burst: 1, refillEveryMs: 1000 });
    for (let address = 0; address <= 10_000; address += 1) throttle.refused(`${address}`);
    expect(throttle.waitMs('0')).toBe(0);
    expect(throttle.waitMs('1')).toBe(1000);
    expect(throttle.waitMs('10000')).toBe(1000);
  });
});
