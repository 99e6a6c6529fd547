import type { Head, ReadHead } from '../revocation-log/head.ts';
import { LogReading, pageSize, type PageOutcome, type PageRequest } from '../revocation-log/log-reading.ts';
import { readImported, type OutboxEvent } from './outbox-event.ts';

/** More than this isn't a log other people's code kept. */
const maxImported = 1_000_000;

/** An event, and the member of the log it was read from. */
export type ImportedEvent = { readonly seq: number; readonly member: string; readonly event: OutboxEvent };

export type ImportOptions = {
  readonly head: Head;
  readHead(): Promise<ReadHead>;
  readPage(page: PageRequest): Promise<readonly unknown[]>;
  /** Stores events for the seed that follows; again, if they come again, without effect. */
  store(events: readonly ImportedEvent[]): Promise<void>;
  /** Keeps the lease. @returns false if it is another's */
  keepLease(): Promise<boolean>;
  /** Keeps other people's code from writing. @returns false if that can't be, or was interrupted */
  hold(isFirst: boolean): Promise<boolean>;
};

/**
 * Brings the events of a log that other people's code wrote into the database of the owner that takes it over: most
 * while they go on writing, the rest while they are held. So it ends, however much they write.
 * @returns the sequence number up to which all is stored, with the log held; undefined if it couldn't be read whole
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
  // A Redis that lost entries meanwhile, and got others in their place, has another one where the copy ended.
  return newest === undefined || rest.oldest?.member === newest.member ? held.seq : undefined;
}

type Entry = { readonly seq: number; readonly member: string };

/** What was read, without a gap; nothing of a log without entries. */
type Imported = { readonly newest?: Entry; readonly oldest?: Entry };

/** Reads from the newest entry down to above `above`, or whole. */
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

/** Where entries are missing at the bottom a fresh head says whether they were trimmed meanwhile. */
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
