import type { Redis } from 'ioredis';
import { expect } from 'vitest';
import { readEvent, type RevocationEvent } from '../../src/revocation-log/event.ts';
import { headFields, readHead, type Head } from '../../src/revocation-log/head.ts';
import { logKeys } from '../../src/revocation-log/keys.ts';
import { LogReading } from '../../src/revocation-log/log-reading.ts';
import { readPage } from '../../src/revocation-log/redis-page.ts';

export type LoggedEvent = { readonly seq: number; readonly event: RevocationEvent };

export async function readHeadOf(client: Redis, logName: string): Promise<Head> {
  const read = readHead(await client.hmget(logKeys(logName).head, ...headFields));
  if (read.kind !== 'head') throw new Error(`the head is ${read.kind}`);
  return read.head;
}

/** All members, newest first. They are read as a sidecar reads them, which accepts no gaps. */
export async function readMembersOf(
  client: Redis,
  logName: string,
): Promise<{ seq: number; member: string }[]> {
  const head = await readHeadOf(client, logName);
  const reading = new LogReading(head, undefined, 1000);
  const members: { seq: number; member: string }[] = [];
  for (;;) {
    const reply = await readPage(client, logKeys(logName).log(head.epoch), reading.request);
    const outcome = reading.take(reply, (member, seq) => members.push({ seq, member }));
    if (outcome.kind === 'more') continue;
    expect(outcome).toEqual({ kind: 'done', top: head.seq });
    return members;
  }
}

/** All events, newest first; each is one that this version understands. */
export async function readEventsOf(client: Redis, logName: string): Promise<LoggedEvent[]> {
  const members = await readMembersOf(client, logName);
  return members.map(({ seq, member }) => {
    const read = readEvent(JSON.parse(member));
    if (read.kind !== 'event' || !read.asKnown) throw new Error(`no event: ${member}`);
    return { seq, event: read.event };
  });
}
