import { formatVersion, isObject, parseJson } from './event.ts';

/** Names of a revocation log's keys and channel. Braces make the log's name the hash tag: one slot holds them all. */
export type LogKeys = {
  readonly head: string;
  readonly events: string;
  /** The sorted set of one epoch. */
  log(epoch: number): string;
};

export function logKeys(logName: string): LogKeys {
  const prefix = `{${logName}}`;
  return { head: `${prefix}:head`, events: `${prefix}:events`, log: (epoch) => `${prefix}:log:${epoch}` };
}

/**
 * The member with score 0, first into an epoch's set. It tells a log from which everything was read from one that
 * vanished; the owner in it keeps two owners from seeding one set together.
 */
export const writeSentinel = (owner: string, epoch: number): string =>
  JSON.stringify({ v: formatVersion, epoch, owner });

/** True for the sentinel of this epoch; a log written by other people's code may leave out the owner. */
export function isSentinel(member: string, owner: string, epoch: number): boolean {
  const value = parseJson(member);
  if (!isObject(value) || value['v'] !== formatVersion || value['epoch'] !== epoch) return false;
  return value['owner'] === undefined || value['owner'] === owner;
}
