import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createOutbox, outboxMigrations, type Outbox } from '../../src/publisher/outbox.ts';
import type { OutboxTables } from '../../src/publisher/outbox-tables.ts';
import { createHeartbeat, type HeartbeatIssuer } from '../../src/receivers/heartbeat.ts';
import { receiverMigrations } from '../../src/receivers/receivers.ts';
import { createHeartbeatStore } from '../../src/receivers/store/heartbeat-store.ts';
import type { ReceiverTables } from '../../src/receivers/store/receiver-tables.ts';
import { migrate, openDatabase, type Database } from '../../src/database/database.ts';
import { capturedLog, steppedClock, type SteppedClock } from '../token/fixtures.ts';

const once = 'https://tries-once.test';
const patient = 'https://tries-for-an-hour.test';

let database: Database;
let outbox: Outbox;
let clock: SteppedClock;

beforeEach(async () => {
  clock = steppedClock();
  database = openDatabase({ sqlite: ':memory:' });
  onTestFinished(() => database.close());
  await migrate(database, [outboxMigrations, receiverMigrations]);
  outbox = createOutbox({
    database,
    issuers: [once, patient].map((issuer) => ({ issuer, clock: 'foreign' as const })),
    clockToleranceMs: 5000,
  });
});

const issuers: HeartbeatIssuer[] = [
  { issuer: once, redeliveryMs: 0, isUsable: () => true },
  { issuer: patient, redeliveryMs: 3_600_000, isUsable: () => true },
];

const heartbeatOf = (overrides: { outbox?: Pick<Outbox, 'recordEvents' | 'wake'> } = {}) =>
  createHeartbeat({
    database,
    store: createHeartbeatStore(database),
    outbox,
    issuers,
    clock,
    log: capturedLog().log,
    ...overrides,
  });

/** Moves the last beat into the past. */
const pass = async (seconds: number): Promise<void> => {
  await database.db
    .$extendTables<ReceiverTables>()
    .updateTable('receiver_presence')
    .set((row) => ({ seen_at_ms: row('seen_at_ms', '-', seconds * 1000) }))
    .execute();
};

/** The issuers that were cut off since the last call. */
async function cutOffs(): Promise<string[]> {
  const tables = database.db.$extendTables<OutboxTables>();
  const rows = await tables.selectFrom('revocation_outbox').select(['iss', 'kind']).execute();
  await tables.deleteFrom('revocation_outbox').execute();
  return rows.map(({ iss, kind }) => `${kind} ${iss}`).toSorted();
}

describe('heartbeat', () => {
  it('cuts off an issuer at its first beat, once', async () => {
    const heartbeat = heartbeatOf();
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([`issuer ${patient}`, `issuer ${once}`].toSorted());
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([]);
  });

  it('allows a pause of the process, because connections waited', async () => {
    const heartbeat = heartbeatOf();
    await heartbeat.beat();
    await cutOffs();
    await pass(9);
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([]);
    await pass(11);
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([`issuer ${once}`]);
  });

  it('allows a new process a heartbeat’s gap only', async () => {
    await heartbeatOf().beat();
    await cutOffs();
    await pass(1);
    await heartbeatOf().beat();
    expect(await cutOffs()).toEqual([]);
    await pass(2.5);
    await heartbeatOf().beat();
    expect(await cutOffs()).toEqual([`issuer ${once}`]);
  });

  it('cuts off for a notice that could not be recorded, if its sender does not retry', async () => {
    const heartbeat = heartbeatOf();
    await heartbeat.beat();
    await cutOffs();
    heartbeat.missed([once, patient]);
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([`issuer ${once}`]);
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([]);
  });

  it('keeps a cut-off pending for a notice that is missed while another cut-off is recorded', async () => {
    const during = {
      recordEvents: async (...args: Parameters<Outbox['recordEvents']>) => {
        heartbeat.missed([once]);
        return await outbox.recordEvents(...args);
      },
      wake: () => undefined,
    };
    await heartbeatOf().beat();
    await cutOffs();
    const heartbeat = heartbeatOf({ outbox: during });
    heartbeat.missed([once]);
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([`issuer ${once}`]);
    await heartbeatOf().beat();
    expect(await cutOffs()).toEqual([]);
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([`issuer ${once}`]);
  });

  it('keeps a cut-off pending that could not be recorded', async () => {
    let isBroken = true;
    const breaking = {
      recordEvents: async (...args: Parameters<Outbox['recordEvents']>) => {
        if (isBroken) throw new Error('the disk is full');
        return await outbox.recordEvents(...args);
      },
      wake: () => undefined,
    };
    await heartbeatOf().beat();
    await cutOffs();
    const heartbeat = heartbeatOf({ outbox: breaking });
    heartbeat.missed([once]);
    await pass(3601);
    await expect(heartbeat.beat()).rejects.toThrow('the disk is full');
    isBroken = false;
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([`issuer ${patient}`, `issuer ${once}`].toSorted());
  });

  it('cuts off at most once a minute for requests that may have been notices, and finally for all of them', async () => {
    const heartbeat = heartbeatOf();
    await heartbeat.beat();
    await cutOffs();
    clock.nowSeconds += 60;
    heartbeat.mayHaveMissed([once], 0);
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([`issuer ${once}`]);
    for (let second = 0; second < 59; second += 1) {
      clock.nowSeconds += 1;
      heartbeat.mayHaveMissed([once], 0);
      await heartbeat.beat();
    }
    expect(await cutOffs()).toEqual([]);
    clock.nowSeconds += 1;
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([`issuer ${once}`]);
    clock.nowSeconds += 120;
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([]);
  });

  it('cuts off at once for a notice that was certainly missed, whatever happened before', async () => {
    const heartbeat = heartbeatOf();
    await heartbeat.beat();
    heartbeat.mayHaveMissed([once], 0);
    await heartbeat.beat();
    await cutOffs();
    heartbeat.missed([once]);
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([`issuer ${once}`]);
  });

  it('cuts off for a sender that retries only after requests were refused for as long as it retries', async () => {
    const heartbeat = heartbeatOf();
    await heartbeat.beat();
    await cutOffs();
    const turnAwayFor = async (seconds: number): Promise<void> => {
      for (let passed = 0; passed < seconds; passed += 30) {
        heartbeat.mayHaveMissed([patient], 3_600_000);
        clock.nowSeconds += 30;
        await heartbeat.beat();
      }
    };
    await turnAwayFor(3600);
    expect(await cutOffs()).toEqual([]);
    // After a pause, retries replace the notices that were refused before it.
    clock.nowSeconds += 61;
    await turnAwayFor(3600);
    expect(await cutOffs()).toEqual([]);
    await turnAwayFor(30);
    expect(await cutOffs()).toEqual([`issuer ${patient}`]);
  });

  it('records pending cut-offs before the stop, even if they are not due', async () => {
    const heartbeat = heartbeatOf();
    await heartbeat.beat();
    await cutOffs();
    heartbeat.mayHaveMissed([once], 0);
    await heartbeat.flush();
    expect(await cutOffs()).toEqual([`issuer ${once}`]);
    await heartbeat.flush();
    expect(await cutOffs()).toEqual([]);
  });

  it('records no beat for an issuer whose notices cannot be verified', async () => {
    let isUsable = false;
    const heartbeat = createHeartbeat({
      database,
      store: createHeartbeatStore(database),
      outbox,
      issuers: [{ issuer: once, redeliveryMs: 60_000, isUsable: () => isUsable }],
      clock,
      log: capturedLog().log,
    });
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([]);
    isUsable = true;
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([`issuer ${once}`]);
    isUsable = false;
    await pass(61);
    await heartbeat.beat();
    isUsable = true;
    await heartbeat.beat();
    expect(await cutOffs()).toEqual([`issuer ${once}`]);
  });
});
