import type { Head, ReadHead } from '../revocation-log/head.ts';
import { LogReading, pageSize, type PageOutcome, type PageRequest } from '../revocation-log/log-reading.ts';
import { readImported, type OutboxEvent } from './outbox-event.ts';

/** Largest number of entries to import. The script trims a log of third-party code long before. */
const maxImported = 1_000_000;

/** An event, and the member of the log that it was read from. */
export type ImportedEvent = { readonly seq: number; readonly member: string; readonly event: OutboxEvent };

export type ImportOptions = {
  readonly head: Head;
  readHead(): Promise<ReadHead>;
  readPage(page: PageRequest): Promise<readonly unknown[]>;
  /** Stores events for the seed that follows. Storing an event again has no effect. */
  store(events: readonly ImportedEvent[]): Promise<void>;
  /** Renews the lease if necessary. @returns false if another process holds it */
  keepLease(): Promise<boolean>;
  /**
   * Keeps third-party code from writing.
   * @returns false if the log can't be held, or if the hold was interrupted
   */
  hold(isFirst: boolean): Promise<boolean>;
};

/**
 * Copies the events of a log that third-party code writes into the database of the owner that takes it over.
 * It copies most of them while the code continues to write, and the rest while the log is held, so it ends
 * however fast the code writes.
 * @returns the sequence number up to which every event is stored, with the log held; undefined if the log
 * couldn't be read completely
 */
export async function importLog(options: ImportOptions): Promise<number | undefined> {
  const { head, hold } = options;
  if (head.seq - head.trimBelow >= maxImported) return undefined;
  const first = await importFrom(options, head, undefined, () => Promise.resolve(true));
  if (first === undefined || !(await hold(true))) return undefined;
  const held = await sameLog(options);
  if (held === undefined) return undefined;
  const { newest } = first;
  const rest = await importFrom(options, held, newest && newest.seq - 1, () => hold(false));
  if (rest === undefined || (rest.newest?.seq ?? 0) !== held.seq) return undefined;
  // If Redis lost entries meanwhile and others took their numbers, it has another entry where the first copy
  // ended.
  return newest === undefined || rest.oldest?.member === newest.member ? held.seq : undefined;
}

type Entry = { readonly seq: number; readonly member: string };

/** The first and last entry that were read, without a gap between them; empty for a log without entries. */
type Imported = { readonly newest?: Entry; readonly oldest?: Entry };

/** Copies the entries from the newest down to the one after `above`; without `above`, the whole log. */
async function importFrom(
  options: ImportOptions,
  head: Head,
  above: number | undefined,
  mayGoOn: () => Promise<boolean>,
): Promise<Imported | undefined> {
  const { readPage, store, keepLease } = options;
  const reading = new LogReading(head, above, pageSize);
  let imported: Imported = {};
  for (let count = 0; count < maxImported; count += pageSize) {
    if (!(await keepLease()) || !(await mayGoOn())) return undefined;
    const events: ImportedEvent[] = [];
    const outcome = reading.take(await readPage(reading.request), (member, seq) => {
      imported = { newest: imported.newest ?? { seq, member }, oldest: { seq, member } };
      const event = readImported(member);
      if (event !== undefined) events.push({ seq, member, event });
    });
    await store(events);
    if (outcome.kind !== 'more') return (await isWhole(outcome, reading, options)) ? imported : undefined;
  }
  return undefined;
}

/** If older entries are missing, a fresh head shows whether they were trimmed meanwhile. */
async function isWhole(outcome: PageOutcome, reading: LogReading, options: ImportOptions): Promise<boolean> {
  if (outcome.kind !== 'unexplained') return outcome.kind === 'done';
  const head = await sameLog(options);
  return head !== undefined && reading.explainedBy(head).kind === 'done';
}

async function sameLog({ head, readHead }: ImportOptions): Promise<Head | undefined> {
  const read = await readHead();
  if (read.kind !== 'head') return undefined;
  const { owner, epoch, truth } = read.head;
  return owner === head.owner && epoch === head.epoch && truth === head.truth ? read.head : undefined;
}
