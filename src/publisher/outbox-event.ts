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
 * An event as the outbox keeps it. If an imported event has a kind or version that this version doesn't know,
 * `original` keeps it unchanged for readers of a newer version. The other fields then hold what it means to
 * other readers: a cut-off of the issuer.
 */
export type OutboxEvent = RevocationEvent & {
  /** The event as JSON. Its sequence number has no meaning. */
  readonly original?: string;
};

/** Reads a member of a log that is imported. @returns undefined for a member that no reader can use */
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
  // With another number, the event may be too long for every reader. A short one still makes its issuer
  // unproven.
  const original = whole.length <= maxEventLength ? whole : JSON.stringify({ v: value['v'], iss: read.iss });
  return { iss, kind: 'issuer', id: iss, at: 0, original };
}

/** The event as a member of the log and of a message. */
export function writeOutboxEvent(event: OutboxEvent, seq: number): string {
  const value = event.original === undefined ? undefined : parseJson(event.original);
  if (!isObject(value)) return writeEvent(event, seq);
  // In a later version, `at` may have another meaning or be absent.
  const known = value['v'] === formatVersion ? { at: event.at } : {};
  return renumbered({ ...value, ...known }, seq);
}

const renumbered = (value: object, seq: number): string => JSON.stringify({ ...value, seq });
