import type { OutboxTables } from './outbox-tables.ts';
import type { Database } from '../database/database.ts';

/** Time between two queries for rows that another process has published; ms. */
const pollMs = 20;
/** Rows in one query, because the number of a statement's parameters is limited. */
const rowsPerQuery = 1000;

type Waiter = { readonly ids: Set<number>; done(): void };

/** Callers that wait for rows of the outbox to appear in the log. */
export class PublicationWaiters {
  readonly #database: Database;
  readonly #waiters = new Set<Waiter>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** The leader calls this if it runs in this process. */
  published(ids: readonly number[]): void {
    for (const waiter of this.#waiters) {
      for (const id of ids) waiter.ids.delete(id);
      if (waiter.ids.size === 0) waiter.done();
    }
  }

  async wait(ids: readonly number[], timeoutMs: number): Promise<boolean> {
    if (ids.length === 0) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiter = { ids: new Set(ids), done: () => resolve(true) };
    this.#waiters.add(waiter);
    const deadline = setTimeout(() => resolve(false), timeoutMs);
    let isQuerying = false;
    const poll = setInterval(() => {
      // A slow database gets no further query before it has answered.
      if (isQuerying) return;
      isQuerying = true;
      // A failed query is ignored: the next query or the deadline decides.
      this.#allPublished(waiter.ids).then(
        (all) => (all ? resolve(true) : (isQuerying = false)),
        () => (isQuerying = false),
      );
    }, pollMs);
    const published = await promise;
    clearInterval(poll);
    clearTimeout(deadline);
    this.#waiters.delete(waiter);
    return published;
  }

  async #allPublished(ids: ReadonlySet<number>): Promise<boolean> {
    const all = [...ids];
    for (let start = 0; start < all.length; start += rowsPerQuery)
      if (await this.#isAnyPending(all.slice(start, start + rowsPerQuery))) return false;
    return true;
  }

  async #isAnyPending(ids: readonly number[]): Promise<boolean> {
    const pending = await this.#database.db
      .$extendTables<OutboxTables>()
      .selectFrom('revocation_outbox')
      .select('id')
      .where('id', 'in', ids)
      .where('published_seq', 'is', null)
      .limit(1)
      .executeTakeFirst();
    return pending !== undefined;
  }
}
