import { formatVersion, isObject, parseJson } from './event.ts';

/**
 * Names of a revocation log's keys and of its channel. The braces make the log's name the hash tag, so Redis
 * Cluster keeps all of them in one slot.
 */
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
 * The member with score 0, which is written first into an epoch's set. A reader that reaches it has read the
 * whole log; a set without it vanished and was started again. It names the owner, so two owners can't seed
 * one set together.
 */
export const writeSentinel = (owner: string, epoch: number): string =>
  JSON.stringify({ v: formatVersion, epoch, owner });

/**
 * True for the sentinel of this epoch. The sentinel of a log that third-party code writes may lack the owner.
 */
export function isSentinel(member: string, owner: string, epoch: number): boolean {
  const value = parseJson(member);
  if (!isObject(value) || value['v'] !== formatVersion || value['epoch'] !== epoch) return false;
  return value['owner'] === undefined || value['owner'] === owner;
}
