import type { EventForm } from './scenario.ts';
import type { RedisState } from './redis-state.ts';

/**
 * The members of a call as their owner writes them. An event whose reason is another form than `own` is of a
 * later version.
 */
export const asWritten = <Call extends { readonly members: readonly string[] }>(call: Call): Call =>
  call.members.some(isLater) ? { ...call, members: call.members.map(written) } : call;

const isLater = (member: string): boolean => member.includes('"reason":"later');

function written(member: string): string {
  if (!isLater(member)) return member;
  const { seq, iss, reason } = JSON.parse(member) as { seq: number; iss: string; reason: EventForm };
  return JSON.stringify(reason === 'later' ? { v: 2, seq, iss } : { v: '2.0', seq });
}

/** The issuers that events of a later version in the current epoch may concern; `*` for any issuer. */
export function concernedByLater({ head, logs }: RedisState): Set<string> {
  const entries = logs.get(Number(head?.get('epoch') ?? 0)) ?? [];
  const concerned = new Set<string>();
  for (const { member } of entries) {
    if (!/^\{"v":(?:2|"2\.0")/.test(member)) continue;
    concerned.add((JSON.parse(member) as { iss?: string }).iss ?? '*');
  }
  return concerned;
}
