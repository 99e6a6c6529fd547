import { formatVersion, isIssuer, parseJson } from './event.ts';

/** The log's description of itself, in one Redis hash. One `HMGET` reads all of it. */
export type Head = {
  readonly owner: string;
  /** The issuers whose revocations are all in this log. */
  readonly covers: readonly string[];
  /**
   * `owner`: an owner rebuilds the log from its database, and `beat` shows that the log is current. `redis`:
   * the log exists in Redis alone, and what Redis loses is lost.
   */
  readonly truth: 'owner' | 'redis';
  readonly epoch: number;
  readonly seq: number;
  /** The owner adds one at the end of each complete drain of its outbox. */
  readonly beat: number;
  /** Entries with a smaller score were removed: every token that they could refuse has expired. */
  readonly trimBelow: number;
  /** How long the log keeps an entry; whole seconds. */
  readonly retentionSeconds: number;
};

/** The fields of the head's hash, in the order in which `readHead` takes their values. */
export const headFields = [
  'v',
  'owner',
  'covers',
  'truth',
  'epoch',
  'seq',
  'beat',
  'trimBelow',
  'retention',
] as const;

export type ReadHead =
  | { readonly kind: 'head'; readonly head: Head }
  | { readonly kind: 'absent' }
  | { readonly kind: 'malformed'; readonly field: string };

const maxOwnerLength = 128;
const maxCovers = 1000;
const maxCoversLength = 1_000_000;
const maxRetentionSeconds = 400 * 86_400;

/** Reads the values of `headFields`. */
export function readHead(values: readonly unknown[]): ReadHead {
  if (values.every((value) => value === null)) return { kind: 'absent' };
  const [v, owner, coversText, truth] = values;
  const [epoch, seq, beat, trimBelow, retentionSeconds] = values.slice(4).map(readCount);
  const covers = readCovers(coversText);
  if (v !== String(formatVersion)) return { kind: 'malformed', field: 'v' };
  if (typeof owner !== 'string' || owner === '' || owner.length > maxOwnerLength)
    return { kind: 'malformed', field: 'owner' };
  if (covers === undefined) return { kind: 'malformed', field: 'covers' };
  if (truth !== 'owner' && truth !== 'redis') return { kind: 'malformed', field: 'truth' };
  if (epoch === undefined || epoch === 0) return { kind: 'malformed', field: 'epoch' };
  if (seq === undefined) return { kind: 'malformed', field: 'seq' };
  if (beat === undefined) return { kind: 'malformed', field: 'beat' };
  if (trimBelow === undefined) return { kind: 'malformed', field: 'trimBelow' };
  if (retentionSeconds === undefined || retentionSeconds > maxRetentionSeconds)
    return { kind: 'malformed', field: 'retention' };
  return { kind: 'head', head: { owner, covers, truth, epoch, seq, beat, trimBelow, retentionSeconds } };
}

/** The head as alternating fields and values, for `HSET`. */
export const writeHead = (head: Head): string[] =>
  Object.entries({
    v: String(formatVersion),
    owner: head.owner,
    covers: JSON.stringify(head.covers),
    truth: head.truth,
    epoch: String(head.epoch),
    seq: String(head.seq),
    beat: String(head.beat),
    trimBelow: String(head.trimBelow),
    retention: String(head.retentionSeconds),
  } satisfies Record<(typeof headFields)[number], string>).flat();

const decimal = /^(?:0|[1-9]\d{0,15})$/;

function readCount(value: unknown): number | undefined {
  if (typeof value !== 'string' || !decimal.test(value)) return undefined;
  const count = Number(value);
  return Number.isSafeInteger(count) ? count : undefined;
}

function readCovers(value: unknown): string[] | undefined {
  if (typeof value !== 'string' || value.length > maxCoversLength) return undefined;
  const covers = parseJson(value);
  return Array.isArray(covers) && covers.length <= maxCovers && covers.every(isIssuer) ? covers : undefined;
}
