import {
  formatVersion,
  isObject,
  maxEventLength,
  parseJson,
  readEvent,
  writeEvent,
  type RevocationEvent,
} from '../revocation-log/event.ts';

/**
 * An event as the outbox keeps it. One of a kind or version unknown here is kept as it stood in the log it was imported
 * from, so that readers who know it find it; the rest is then what it means to those who don't: the issuer's cut-off.
 */
export type OutboxEvent = RevocationEvent & {
  /** The event as JSON, with a sequence number of no meaning. */
  readonly original?: string;
};

/** Reads a member of a log that is imported. @returns undefined for what no reader can make anything of */
export function readImported(member: string): OutboxEvent | undefined {
  const value = member.length <= maxEventLength ? parseJson(member) : undefined;
  const read = readEvent(value);
  if (read.kind === 'malformed' || !isObject(value)) return undefined;
  if (read.kind === 'event') {
    const { event, asKnown } = read;
    const original = asKnown ? undefined : renumbered(value, Number.MAX_SAFE_INTEGER);
    return original === undefined || original.length > maxEventLength ? event : { ...event, original };
  }
  const { iss = '' } = read;
  const whole = renumbered(value, Number.MAX_SAFE_INTEGER);
  // With another number it would be too long for every reader: what is left still makes the issuer unproven.
  const original = whole.length <= maxEventLength ? whole : JSON.stringify({ v: value['v'], iss: read.iss });
  return { iss, kind: 'issuer', id: iss, at: 0, original };
}

/** The event as a member of the log and of a message. */
export function writeOutboxEvent(event: OutboxEvent, seq: number): string {
  const value = event.original === undefined ? undefined : parseJson(event.original);
  if (!isObject(value)) return writeEvent(event, seq);
  // In a later version `at` may be something else, or absent.
  const known = value['v'] === formatVersion ? { at: event.at } : {};
  return renumbered({ ...value, ...known }, seq);
}

const renumbered = (value: object, seq: number): string => JSON.stringify({ ...value, seq });
