import { parseJson, readEvent, type RevocationEvent } from '../revocation/event.ts';
import type { Head } from '../revocation/head.ts';
import { LogReading, pageSize, type PageRequest } from '../revocation/log-reading.ts';
import type { Takeover } from './log-writes.ts';

/** More than this isn't a log other people's code kept. */
const maxImported = 1_000_000;

export type ImportOptions = {
  readonly head: Head;
  readPage(page: PageRequest): Promise<readonly unknown[]>;
  /** Stores events for the seed that follows. */
  store(events: readonly RevocationEvent[]): Promise<void>;
};

/**
 * Brings the events of a log that other people's code wrote into the database of the owner that takes it over.
 * @returns what the switch must still find; undefined if the log couldn't be read whole
 */
export async function importLog({ head, readPage, store }: ImportOptions): Promise<Takeover | undefined> {
  const reading = new LogReading(head, undefined, pageSize);
  for (let count = 0; count < maxImported; count += pageSize) {
    const events: RevocationEvent[] = [];
    const outcome = reading.take(await readPage(reading.request), (member) => {
      const read = readEvent(parseJson(member));
      if (read.kind === 'event') events.push(read.event);
    });
    await store(events);
    if (outcome.kind === 'done') return { owner: head.owner, seq: outcome.top };
    if (outcome.kind !== 'more') return undefined;
  }
  return undefined;
}
