import type { OutboxTables } from './outbox-tables.ts';
import type { Database } from '../database/database.ts';

/** Between two looks whether another process has published; ms. */
const pollMs = 20;
/** A statement takes so many parameters, and no more. */
const rowsPerLook = 1000;

type Waiter = { readonly ids: Set<number>; done(): void };

/** Who waits for rows of the outbox to appear in the log. */
export class PublicationWaiters {
  readonly #database: Database;
  readonly #waiters = new Set<Waiter>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Told by the leader, if it is in this process. */
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
    let isLooking = false;
    const poll = setInterval(() => {
      // A database that is slow isn't asked again before it has answered.
      if (isLooking) return;
      isLooking = true;
      // A failed look is as good as none: the next one or the deadline decides.
      this.#allPublished(waiter.ids).then(
        (all) => (all ? resolve(true) : (isLooking = false)),
        () => (isLooking = false),
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
    for (let start = 0; start < all.length; start += rowsPerLook)
      if (await this.#isAnyPending(all.slice(start, start + rowsPerLook))) return false;
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
