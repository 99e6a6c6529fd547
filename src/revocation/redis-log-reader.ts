import type { Redis } from 'ioredis';
import { systemClock, type Clock } from '../runtime/clock.ts';
import { headFields, readHead, type Head, type ReadHead } from '../revocation-log/head.ts';
import { logKeys, type LogKeys } from '../revocation-log/keys.ts';
import { asFault, describeRedis, closeRedis, openRedis, type RedisOptions } from '../redis/connection.ts';
import { readPage } from '../revocation-log/redis-page.ts';

/** A member of the log, as it is stored. */
export type LogEntry = { readonly seq: number; readonly member: string };

const commandTimeoutMs = 2000;
const pollMs = 100;

/** Reads a log once, for the command line. `createRevocationFeed` follows a log. */
export type LogReader = {
  /** For the caller's own commands over the same connection. */
  readonly client: Redis;
  head(): Promise<ReadHead>;
  /**
   * Entries of the head's epoch, newest first, without the sentinel. Cost: one round trip for each 1000
   * entries.
   */
  newest(head: Head, limit: number): Promise<LogEntry[]>;
  /** Time until the owner's next beat, in milliseconds; undefined if there is no beat within `timeoutMs`. */
  nextBeatMs(head: Head, timeoutMs: number): Promise<number | undefined>;
  close(): void;
};

/**
 * Connects to the Redis of a log.
 * @throws ERR_REDIS_UNAVAILABLE, ERR_REDIS_PERMISSION, ERR_SECRET_UNREADABLE; the methods throw the first two
 */
export async function openLogReader(
  redis: RedisOptions,
  logName: string,
  clock: Pick<Clock, 'monotonicMs'> = systemClock,
): Promise<LogReader> {
  const client = await openRedis(redis, { connectionName: 'curfew-cli', commandTimeoutMs });
  const keys = logKeys(logName);
  const named = <T>(promise: Promise<T>): Promise<T> =>
    promise.catch((thrown: unknown) => {
      throw asFault(thrown, redis);
    });
  return {
    client,
    head: () => named(readHeadOf(client, keys)),
    newest: (head, limit) => named(readNewest(client, keys.log(head.epoch), head, limit)),
    nextBeatMs: (head, timeoutMs) => named(watchBeat(client, keys, head, { timeoutMs, clock })),
    close: () => closeRedis(client),
  };
}

/**
 * The message for an operator whose log doesn't exist. An absent log must never be mistaken for an empty one.
 */
export const absentLog = (redis: RedisOptions, logName: string): string =>
  `no revocation log "${logName}" at ${describeRedis(redis)}: start identity or relay, or run curfew log create`;

const readHeadOf = async (client: Redis, keys: LogKeys): Promise<ReadHead> =>
  readHead(await client.hmget(keys.head, ...headFields));

async function readNewest(client: Redis, key: string, head: Head, limit: number): Promise<LogEntry[]> {
  const entries: LogEntry[] = [];
  let below = Infinity;
  while (entries.length < limit) {
    const reply = await readPage(client, key, { epoch: head.epoch, below, above: 0 });
    for (let index = 0; index + 1 < reply.length; index += 2)
      entries.push({ member: String(reply[index]), seq: Number(reply[index + 1]) });
    const last = entries.at(-1)?.seq;
    if (reply.length === 0 || last === undefined) break;
    below = last;
  }
  return entries.slice(0, limit);
}

async function watchBeat(
  client: Redis,
  keys: LogKeys,
  { epoch, beat }: Head,
  { timeoutMs, clock }: { timeoutMs: number; clock: Pick<Clock, 'monotonicMs'> },
): Promise<number | undefined> {
  const startedMs = clock.monotonicMs();
  for (;;) {
    const read = await readHeadOf(client, keys);
    const elapsedMs = clock.monotonicMs() - startedMs;
    if (read.kind === 'head' && (read.head.epoch !== epoch || read.head.beat !== beat))
      return Math.round(elapsedMs);
    if (elapsedMs >= timeoutMs) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, pollMs);
    await promise;
  }
}
