import { Redis } from 'ioredis';
import { writeEvent } from '../src/revocation-log/event.ts';
import { writeHead } from '../src/revocation-log/head.ts';
import { logKeys, writeSentinel } from '../src/revocation-log/keys.ts';
import { writeMessage } from '../src/revocation-log/message.ts';

const owner = 'bench';
const epoch = 1;
const batch = 1000;

/** A revocation log without an owner. */
export type BenchLog = {
  /** Appends revocations of sessions that no token belongs to, in messages of `perMessage`. */
  append(count: number, perMessage: number): Promise<void>;
  close(): void;
};

/** Creates a log with `entries` revocations of sessions that no token belongs to. */
export async function createBenchLog(options: {
  port: number;
  name: string;
  issuers: readonly string[];
  entries: number;
}): Promise<BenchLog> {
  const { port, name, issuers, entries } = options;
  const issuer = issuers[0] ?? '';
  const client = new Redis({ port, host: '127.0.0.1' });
  const keys = logKeys(name);
  let seq = 0;

  const nextMember = (): string => {
    seq += 1;
    const id = `3c9f0d52-7a1e-4d8b-b6a4-${String(seq).padStart(12, '0')}`;
    return writeEvent({ iss: issuer, kind: 'session', id, at: Date.now() / 1000, reason: 'logout' }, seq);
  };
  const head = (): string[] =>
    writeHead({
      owner,
      covers: issuers,
      truth: 'redis',
      epoch,
      seq,
      beat: 0,
      trimBelow: 1,
      retentionSeconds: 10_800,
    });
  const add = (count: number): { members: string[]; scored: (string | number)[] } => {
    const members: string[] = [];
    const scored: (string | number)[] = [];
    for (let index = 0; index < count; index += 1) {
      const member = nextMember();
      members.push(member);
      scored.push(seq, member);
    }
    return { members, scored };
  };

  await client.zadd(keys.log(epoch), 0, writeSentinel(owner, epoch));
  for (let left = entries; left > 0; left -= batch)
    await client.zadd(keys.log(epoch), ...add(Math.min(left, batch)).scored);
  await client.hset(keys.head, ...head());

  return {
    append: async (count, perMessage) => {
      for (let left = count; left > 0; left -= perMessage) {
        const { members, scored } = add(Math.min(left, perMessage));
        await client
          .multi()
          .zadd(keys.log(epoch), ...scored)
          .hset(keys.head, 'seq', seq)
          .publish(keys.events, writeMessage(owner, epoch, seq, members))
          .exec();
      }
    },
    close: () => client.disconnect(),
  };
}
