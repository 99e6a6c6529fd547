import { randomUUID } from 'node:crypto';
import type { Head } from '../revocation-log/head.ts';
import type { Takeover } from './log-writes.ts';
import { importLog } from './outbox-import.ts';
import type { OutboxLease } from './outbox-lease.ts';
import type { LeaderCommand, LeaderReply } from './leader-options.ts';
import type { RedisLog } from './redis-log.ts';

/** Gives access to the log over the current connection. */
export type LogAccess = { use<T>(call: (log: RedisLog) => Promise<T>): Promise<T> };

/** Runs a command of the leader. After a rejection it is unknown whether the command took effect. */
export async function runCommand(
  command: LeaderCommand,
  { lease, redis }: { lease: OutboxLease; redis: LogAccess },
): Promise<LeaderReply> {
  switch (command.kind) {
    case 'take':
      return lease.take(command.stuck);
    case 'renew':
      return { kind: 'renew', epoch: await lease.renew(command.epoch) };
    case 'raise':
      return { kind: 'raise', epoch: await lease.raise(command.epoch, command.above) };
    case 'standing':
      return { kind: 'standing', ...(await lease.standing()) };
    case 'page':
      return { kind: 'page', ...(await lease.page(command.after, command.limit)) };
    case 'drain':
      return { kind: 'drain', ...(await lease.drain(command.limit)) };
    case 'mark':
      await lease.mark(command.epoch, command.rows);
      return { kind: 'mark' };
    case 'prune':
      await lease.prune();
      return { kind: 'prune' };
    case 'head':
      return { kind: 'head', read: await redis.use((log) => log.head()) };
    case 'import':
      return { kind: 'import', takeover: await runImport(command.head, { lease, redis }) };
    case 'seed':
      return { kind: 'seed', reply: await redis.use((log) => log.seed(command)) };
    case 'switch':
      return { kind: 'switch', reply: await redis.use((log) => log.switch(command)) };
    case 'expire':
      await redis.use((log) => log.expire(command.epochs));
      return { kind: 'expire' };
    case 'append':
      return { kind: 'append', reply: await redis.use((log) => log.append(command)) };
  }
}

async function runImport(
  head: Head,
  { lease, redis }: { lease: OutboxLease; redis: LogAccess },
): Promise<Takeover | undefined> {
  const { owner, epoch } = head;
  const token = randomUUID();
  const seq = await importLog({
    head,
    readHead: () => redis.use((log) => log.head()),
    readPage: (page) => redis.use((log) => log.readPage(page)),
    store: (events) => lease.store({ owner, epoch }, events),
    keepLease: () => lease.keep(),
    hold: (isFirst) => redis.use((log) => log.hold({ owner, epoch, token, isFirst })),
  });
  return seq === undefined ? undefined : { owner, seq, hold: token };
}
