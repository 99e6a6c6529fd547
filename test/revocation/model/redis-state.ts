import { headFields, writeHead } from '../../../src/revocation-log/head.ts';
import { writeSentinel } from '../../../src/revocation-log/keys.ts';
import { writeMessage } from '../../../src/revocation-log/message.ts';
import type { PageRequest } from '../../../src/revocation-log/log-reading.ts';
import type { Append, Hold, LogReply, LogStatus, Seed, Switch } from '../../../src/publisher/log-writes.ts';

type Entry = { readonly member: string; readonly score: number };

/** The state of one log in Redis. It is immutable, because earlier states can come back. */
export type RedisState = {
  readonly head: ReadonlyMap<string, string> | undefined;
  readonly logs: ReadonlyMap<number, readonly Entry[]>;
  /** The token of the hold during a takeover. */
  readonly hold?: string;
};

export const emptyState: RedisState = { head: undefined, logs: new Map() };

/** The writer, as the scripts get it. */
export type Writer = {
  readonly owner: string;
  readonly covers: readonly string[];
  readonly retentionSeconds: number;
};

export type Written = { readonly state: RedisState; readonly reply: LogReply; readonly message?: string };

const count = (state: RedisState, field: string): number => Number(state.head?.get(field) ?? 0);

const reply = (state: RedisState, status: LogStatus): LogReply => ({
  status,
  owner: state.head?.get('owner') ?? '',
  epoch: count(state, 'epoch'),
  seq: count(state, 'seq'),
  beat: count(state, 'beat'),
});

const refused = (state: RedisState, status: LogStatus): Written => ({ state, reply: reply(state, status) });

const withHead = (state: RedisState, fields: Record<string, number>): RedisState => {
  const texts = Object.entries(fields).map(([name, value]) => [name, String(value)] as const);
  return { ...state, head: new Map([...(state.head ?? []), ...texts]) };
};

const withLog = (state: RedisState, epoch: number, entries: readonly Entry[]): RedisState => {
  const logs = new Map(state.logs);
  if (entries.length === 0) logs.delete(epoch);
  else logs.set(epoch, entries);
  return { ...state, logs };
};

const hasSentinel = (state: RedisState, owner: string, epoch: number): boolean => {
  const sentinel = writeSentinel(owner, epoch);
  return (state.logs.get(epoch) ?? []).some(({ member }) => member === sentinel);
};

/** As ZADD: an existing member gets the new score. The log stays in the order of Redis. */
function added(entries: readonly Entry[], more: readonly Entry[]): readonly Entry[] {
  const last = entries.at(-1)?.score ?? -1;
  const isPlain = more.every(({ score }, index) => score > (more[index - 1]?.score ?? last));
  if (isPlain) return [...entries, ...more];
  const byMember = new Map([...entries, ...more].map((entry) => [entry.member, entry]));
  return [...byMember.values()].sort(
    (one, other) => one.score - other.score || (one.member < other.member ? -1 : 1),
  );
}

/** append.lua */
export function append(state: RedisState, writer: Writer, call: Append): Written {
  const { head } = state;
  if (head === undefined) return refused(state, 'absent');
  if (head.get('owner') !== writer.owner) return refused(state, 'owner');
  if (count(state, 'epoch') !== call.epoch) return refused(state, 'epoch');
  if (!hasSentinel(state, writer.owner, call.epoch)) return refused(state, 'sentinel');
  const last = call.seq + call.members.length;
  const seq = count(state, 'seq');
  let next = state;
  let message: string | undefined;
  if (seq === call.seq) {
    if (call.members.length > 0) {
      const entries = call.members.map((member, index) => ({ member, score: call.seq + 1 + index }));
      next = withHead(withLog(next, call.epoch, added(next.logs.get(call.epoch) ?? [], entries)), {
        seq: last,
      });
      message = writeMessage(writer.owner, call.epoch, last, call.members);
    }
  } else if (seq !== last) return refused(state, 'seq');
  if (call.beat !== undefined && count(next, 'beat') === call.beat)
    next = withHead(next, { beat: call.beat + 1 });
  const below = call.trimBelow;
  if (below !== undefined && below > count(next, 'trimBelow') && below <= count(next, 'seq')) {
    const kept = (next.logs.get(call.epoch) ?? []).filter(({ score }) => score < 1 || score >= below);
    next = withHead(withLog(next, call.epoch, kept), { trimBelow: below });
  }
  return { state: next, reply: reply(next, 'ok'), ...(message === undefined ? {} : { message }) };
}

/** seed.lua */
export function seed(state: RedisState, writer: Writer, call: Seed): Written {
  const owner = state.head?.get('owner');
  if (owner !== undefined) {
    if (owner !== writer.owner && owner !== call.takeover?.owner) return refused(state, 'owner');
    if (count(state, 'epoch') >= call.epoch) return refused(state, 'epoch');
  }
  let entries = state.logs.get(call.epoch) ?? [];
  if (call.isFirst) entries = [{ member: writeSentinel(writer.owner, call.epoch), score: 0 }];
  else if (!hasSentinel(state, writer.owner, call.epoch)) return refused(state, 'sentinel');
  const more = call.members.map((member, index) => ({ member, score: call.firstSeq + index }));
  const next = withLog(state, call.epoch, added(entries, more));
  return { state: next, reply: reply(next, 'ok') };
}

/** switch.lua */
export function switchTo(state: RedisState, writer: Writer, call: Switch): Written {
  const owner = state.head?.get('owner');
  if (owner !== undefined) {
    if (owner === writer.owner && count(state, 'epoch') === call.epoch) return refused(state, 'ok');
    const isTakeover =
      owner === call.takeover?.owner &&
      count(state, 'seq') === call.takeover.seq &&
      state.hold === call.takeover.hold;
    if (owner !== writer.owner && !isTakeover) return refused(state, 'owner');
    if (count(state, 'epoch') >= call.epoch) return refused(state, 'epoch');
  }
  if (!hasSentinel(state, writer.owner, call.epoch)) return refused(state, 'sentinel');
  if (state.logs.get(call.epoch)?.length !== call.count + 1) return refused(state, 'count');
  const start = { epoch: call.epoch, seq: call.count, beat: 0, trimBelow: 1 };
  const fields = writeHead({ ...writer, truth: 'owner', ...start });
  const head = new Map<string, string>();
  for (let index = 0; index < fields.length; index += 2)
    head.set(fields[index] ?? '', fields[index + 1] ?? '');
  const next = { ...state, head };
  return { state: next, reply: reply(next, 'ok') };
}

/** hold.lua, without the expiry of the hold */
export function hold(state: RedisState, call: Hold): { state: RedisState; isHeld: boolean } {
  const isMeant =
    state.head?.get('owner') === call.owner &&
    count(state, 'epoch') === call.epoch &&
    state.head.get('truth') === 'redis';
  if (!isMeant || state.hold !== (call.isFirst ? undefined : call.token)) return { state, isHeld: false };
  return { state: { ...state, hold: call.token }, isHeld: true };
}

/** Changes the head to that of a log without an owner. */
export const withTruthInRedis = (state: RedisState): RedisState =>
  state.head === undefined ? state : { ...state, head: new Map([...state.head, ['truth', 'redis']]) };

export function withoutHold(state: RedisState): RedisState {
  const { head, logs } = state;
  return { head, logs };
}

/** HMGET of the head. */
export const headValues = (state: RedisState): (string | null)[] =>
  headFields.map((field) => state.head?.get(field) ?? null);

/** ZRANGE … BYSCORE REV LIMIT 0 size WITHSCORES */
export function page(state: RedisState, { epoch, below, above }: PageRequest, size: number): string[] {
  const found: string[] = [];
  const entries = state.logs.get(epoch) ?? [];
  for (let index = entries.length - 1; index >= 0 && found.length < 2 * size; index -= 1) {
    const entry = entries[index];
    if (entry !== undefined && entry.score < below && entry.score > above)
      found.push(entry.member, String(entry.score));
  }
  return found;
}

export const withoutLog = (state: RedisState, epoch: number): RedisState => withLog(state, epoch, []);
export const withoutHead = (state: RedisState): RedisState => ({ ...state, head: undefined });
