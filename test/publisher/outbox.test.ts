import { sql } from 'kysely';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { ImportedEvent } from '../../src/publisher/outbox-import.ts';
import { OutboxLease } from '../../src/publisher/outbox-lease.ts';
import type { OutboxTables } from '../../src/publisher/outbox-tables.ts';
import {
  createOutbox,
  outboxMigrations,
  type Outbox,
  type RevocationRequest,
} from '../../src/publisher/outbox.ts';
import { migrate, type Database } from '../../src/database/database.ts';
import { onEachDatabase, openTestDatabase, type OnDatabase } from '../identity/databases.ts';
import { temporaryDirectory } from '../temporary.ts';

const own = 'https://own.example';
const foreign = 'https://foreign.example';
const toleranceSeconds = 5;
const session = (id: string): RevocationRequest => ({ iss: own, kind: 'session', id, reason: 'logout' });

type Stand = {
  readonly database: Database;
  readonly outbox: Outbox;
  record(...events: readonly RevocationRequest[]): Promise<number[]>;
  lease(holder: string): OutboxLease;
};

async function stand(on: OnDatabase): Promise<Stand> {
  const database = openTestDatabase(await on.create(temporaryDirectory()));
  onTestFinished(() => database.close());
  await migrate(database, [outboxMigrations]);
  const outbox = createOutbox({
    database,
    issuers: [
      { issuer: own, clock: 'own' },
      { issuer: foreign, clock: 'foreign' },
    ],
    clockToleranceMs: toleranceSeconds * 1000,
  });
  return {
    database,
    outbox,
    record: (...events) => database.db.transaction().execute((trx) => outbox.recordEvents(trx, events)),
    lease: (holder) => new OutboxLease({ database, holder, retentionSeconds: 75 }),
  };
}

const taken = async (lease: OutboxLease): Promise<number> => {
  const reply = await lease.take(undefined);
  if (!('taken' in reply)) throw new Error('held');
  return reply.taken;
};

const databaseSeconds = async (database: Database): Promise<number> => {
  const { rows } = await sql<{ now: number }>`select ${database.now()} as now`.execute(database.db);
  return (rows[0]?.now ?? 0) / 1000;
};

onEachDatabase('the outbox', (on) => {
  describe('recording', () => {
    it('is part of the transaction: rows that are rolled back are never drained', async () => {
      const { database, outbox, lease, record } = await stand(on);
      await lease('one').owner(undefined);
      const undone = database.db.transaction().execute(async (trx) => {
        await outbox.recordEvents(trx, [session('undone')]);
        throw new Error('changed my mind');
      });
      await expect(undone).rejects.toThrow('changed my mind');
      const ids = await record(session('a'), session('b'));
      const { rows } = await lease('one').drain(10);
      expect(rows.map(({ id }) => id)).toEqual(ids);
      expect(rows.map(({ event }) => event.id)).toEqual(['a', 'b']);
      expect(rows[0]?.event).toMatchObject({ iss: own, kind: 'session', reason: 'logout' });
    });

    it('takes the time from the database, plus the margin for skew and commit, or plus the tolerance', async () => {
      const { database, lease, record } = await stand(on);
      await lease('one').owner(undefined);
      const before = await databaseSeconds(database);
      await record(
        session('a'),
        { iss: own, kind: 'subject', id: 's' },
        { iss: foreign, kind: 'session', id: 'f' },
      );
      const after = await databaseSeconds(database);
      const { rows } = await lease('one').drain(10);
      const margins = [0, 2, toleranceSeconds];
      for (const [index, margin] of margins.entries()) {
        const at = rows[index]?.event.at ?? 0;
        expect(at).toBeGreaterThanOrEqual(before + margin - 0.001);
        expect(at).toBeLessThanOrEqual(after + margin + 0.001);
      }
    });

    it('keeps a given time', async () => {
      const { lease, record } = await stand(on);
      await lease('one').owner(undefined);
      await record({ iss: foreign, kind: 'subject', id: 's', at: 1_700_000_000.25 });
      expect((await lease('one').drain(10)).rows[0]?.event.at).toBe(1_700_000_000.25);
    });

    it('names the issuer itself if the issuer is revoked', async () => {
      const { lease, record } = await stand(on);
      await lease('one').owner(undefined);
      await record({ iss: own, kind: 'issuer' });
      expect((await lease('one').drain(10)).rows[0]?.event).toMatchObject({ kind: 'issuer', id: own });
    });

    it.each([
      ['an issuer that is not in the log', { ...session('a'), iss: 'https://elsewhere' }],
      ['no id', { iss: own, kind: 'session' }],
      ['an id too long', session('x'.repeat(257))],
      ['an unknown kind', { ...session('a'), kind: 'device' as 'session' }],
      ['a time in milliseconds', { ...session('a'), at: 1_700_000_000_000 }],
      ['a reason in prose', { ...session('a'), reason: 'I want to' }],
    ] as const)('refuses %s', async (_, event) => {
      const { record } = await stand(on);
      await expect(record(event)).rejects.toMatchObject({ code: 'ERR_REVOCATION_INVALID' });
    });

    it('accepts thousands of revocations at once', async () => {
      const { record } = await stand(on);
      const ids = await record(...Array.from({ length: 1200 }, (_, index) => session(`s-${index}`)));
      expect(new Set(ids).size).toBe(1200);
    });

    it('keeps revoked keys permanently, each once, and at most 1000 of an issuer', async () => {
      const { lease, record } = await stand(on);
      await lease('one').owner(undefined);
      const key = (index: number): RevocationRequest => ({ iss: own, kind: 'key', id: `key-${index}` });
      await record(...Array.from({ length: 1000 }, (_, index) => key(index)));
      await record(key(0));
      expect((await lease('one').standing()).rows).toHaveLength(1000);
      await expect(record(key(1000))).rejects.toMatchObject({ code: 'ERR_REVOCATION_INVALID' });
      expect((await lease('one').standing()).rows).toHaveLength(1000);
    });
  });

  describe('the lease', () => {
    it('is held by one replica under a new epoch, and by another one after it expires', async () => {
      const { lease } = await stand(on);
      const [one, two] = [lease('one'), lease('two')];
      await one.owner(undefined);
      const epoch = await taken(one);
      expect(await two.take(undefined)).toEqual({ kind: 'take', held: { epoch, renewals: 1 } });
      expect(await one.renew(epoch)).toBe(epoch);
      expect(await two.renew(epoch)).toBeUndefined();
      await one.release(epoch);
      expect(await taken(two)).toBe(epoch + 1);
      expect(await one.renew(epoch)).toBeUndefined();
      expect(await one.raise(epoch, 100)).toBeUndefined();
    });

    it('rises above the epoch of the log and above its own', async () => {
      const { lease } = await stand(on);
      await lease('one').owner(undefined);
      const epoch = await taken(lease('one'));
      expect(await lease('one').raise(epoch, 40)).toBe(41);
      expect(await lease('one').raise(41, 0)).toBe(42);
    });

    it('can be taken from a replica that no longer renews it, if it is unchanged', async () => {
      const { lease } = await stand(on);
      const [one, two] = [lease('one'), lease('two')];
      await one.owner(undefined);
      const epoch = await taken(one);
      await one.renew(epoch);
      expect(await two.take({ epoch, renewals: 1 })).toHaveProperty('held');
      expect(await two.take({ epoch, renewals: 2 })).toEqual({ kind: 'take', taken: epoch + 1 });
    });

    it('is read together with each drain', async () => {
      const { lease, record } = await stand(on);
      const [one, two] = [lease('one'), lease('two')];
      await one.owner(undefined);
      const epoch = await taken(one);
      await record(session('a'));
      expect(await one.drain(10)).toMatchObject({ holder: 'one', epoch });
      await one.release(epoch);
      await taken(two);
      expect(await one.drain(10)).toMatchObject({ holder: 'two', epoch: epoch + 1 });
    });

    it('is also read with a drain without rows', async () => {
      const { lease } = await stand(on);
      await lease('one').owner(undefined);
      await taken(lease('one'));
      expect(await lease('one').drain(10)).toMatchObject({ holder: 'one', rows: [] });
    });
  });

  describe('the owner', () => {
    it('is chosen once, and is the same for every replica and after every start', async () => {
      const { lease } = await stand(on);
      const [one, two] = await Promise.all([lease('one').owner(undefined), lease('two').owner(undefined)]);
      expect(one).toBe(two);
      expect(one).toMatch(/^[0-9a-f-]{36}$/);
      expect(await lease('three').owner('chosen')).toBe('chosen');
      expect(await lease('one').owner(undefined)).toBe('chosen');
    });
  });

  describe('an import', () => {
    const imported = (seq: number, member: string, original?: string): ImportedEvent => ({
      seq,
      member,
      event: {
        iss: own,
        kind: 'session',
        id: member,
        at: 1_700_000_000,
        ...(original === undefined ? {} : { original }),
      },
    });
    const log = { owner: 'redis', epoch: 1 };

    it('stores an event once, and also another event that has its number in another state of the log', async () => {
      const { lease } = await stand(on);
      const one = lease('one');
      await one.owner(undefined);
      const events = [imported(2, 'b', '{"v":2}'), imported(1, 'a')];
      await one.store(log, events);
      await one.store(log, [...events, imported(3, 'c')]);
      await one.store(log, [imported(3, 'another')]);
      await one.store({ ...log, epoch: 2 }, [imported(1, 'a')]);
      const stored = (await one.drain(10)).rows.map(({ event }) => event);
      expect(stored.map(({ id }) => id)).toEqual(['b', 'a', 'c', 'another', 'a']);
      expect(stored.map(({ original }) => original)).toEqual(['{"v":2}', ...Array(4).fill(undefined)]);
      expect((await one.page(0, 10)).rows[0]?.event.original).toBe('{"v":2}');
    });

    it('keeps the lease during the import, and notices when it is lost', async () => {
      const { database, lease } = await stand(on);
      const one = lease('one');
      await one.owner(undefined);
      expect(await one.keep()).toBe(false);
      await taken(one);
      expect(await one.keep()).toBe(true);
      const tables = database.db.$extendTables<OutboxTables>();
      await tables.updateTable('revocation_lease').set({ expires_at_ms: 0 }).execute();
      expect(await one.keep()).toBe(true);
      expect(await lease('two').take(undefined)).toHaveProperty('held');
      expect(await lease('two').keep()).toBe(false);
      await one.release(1);
      await taken(lease('two'));
      expect(await one.keep()).toBe(false);
    });
  });

  describe('publication', () => {
    it('is marked row by row, and no row is drained again', async () => {
      const { database, lease, record } = await stand(on);
      await lease('one').owner(undefined);
      const [first = 0, second = 0, third] = await record(session('a'), session('b'), session('c'));
      await lease('one').mark(7, [
        { id: second, seq: 12 },
        { id: first, seq: 11 },
      ]);
      expect((await lease('one').drain(10)).rows.map(({ id }) => id)).toEqual([third]);
      const marked = await database.db
        .$extendTables<OutboxTables>()
        .selectFrom('revocation_outbox')
        .select(['id', 'published_epoch', 'published_seq'])
        .where('published_seq', 'is not', null)
        .orderBy('id')
        .execute();
      expect(marked).toEqual([
        { id: first, published_epoch: 7, published_seq: 11 },
        { id: second, published_epoch: 7, published_seq: 12 },
      ]);
    });

    it('keeps a row in seeds for one retention, in pages', async () => {
      const { database, lease, record } = await stand(on);
      await lease('one').owner(undefined);
      const ids = await record(session('long ago'), session('lately'), session('never'));
      const [old = 0, recent = 0] = ids;
      await lease('one').mark(1, [
        { id: old, seq: 1 },
        { id: recent, seq: 2 },
      ]);
      await sql`update revocation_outbox set published_at_ms = published_at_ms - 140000 where id = ${old}`.execute(
        database.db,
      );
      const page = await lease('one').page(0, 1);
      expect(page.rows.map(({ event, isPublished }) => [event.id, isPublished])).toEqual([['lately', true]]);
      const rest = await lease('one').page(recent, 10);
      expect(rest.rows.map(({ event, isPublished }) => [event.id, isPublished])).toEqual([['never', false]]);
    });

    it('leaves rows for a day, and unpublished rows are deleted then too', async () => {
      const { database, lease, record } = await stand(on);
      await lease('one').owner(undefined);
      await record(session('old'), session('new'));
      await sql`update revocation_outbox set recorded_at_ms = recorded_at_ms - 86500000 where target = 'old'`.execute(
        database.db,
      );
      await lease('one').prune();
      expect((await lease('one').drain(10)).rows.map(({ event }) => event.id)).toEqual(['new']);
    });

    it('ends a wait when the leader reports it, when the database shows it, or after a timeout', async () => {
      const { outbox, lease, record } = await stand(on);
      await lease('one').owner(undefined);
      const [id = 0] = await record(session('a'));
      expect(await outbox.waitUntilPublished([id], 60)).toBe(false);
      const waiting = outbox.waitUntilPublished([id], 5000);
      await lease('one').mark(1, [{ id, seq: 1 }]);
      expect(await waiting).toBe(true);
      expect(await outbox.waitUntilPublished([], 0)).toBe(true);
    });

    it('is counted while it is pending', async () => {
      const { lease, record } = await stand(on);
      await lease('one').owner(undefined);
      expect(await lease('one').pending()).toEqual({ count: 0, ageMs: 0 });
      await record(session('a'), session('b'));
      expect((await lease('one').pending()).count).toBe(2);
    });
  });
});
