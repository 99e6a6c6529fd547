import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LogReply } from '../../src/publisher/log-writes.ts';
import { RedisLog } from '../../src/publisher/redis-log.ts';
import { headFields } from '../../src/revocation-log/head.ts';
import { logKeys } from '../../src/revocation-log/keys.ts';
import { openRedis } from '../../src/redis/connection.ts';
import {
  append,
  emptyState,
  headValues,
  hold,
  seed,
  switchTo,
  withTruthInRedis,
  withoutHead,
  withoutHold,
  withoutLog,
} from '../revocation/model/redis-state.ts';
import type { RedisState, Writer } from '../revocation/model/redis-state.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';

const epochs = [1, 2, 3] as const;
const epoch = fc.constantFrom(...epochs);
const small = fc.nat(3);
const owner = fc.constantFrom('one', 'two');
const token = fc.constantFrom('first', 'second');
const takeover = fc.option(fc.record({ owner, seq: small, hold: token }), { nil: undefined });
const members = (prefix: string) =>
  fc
    .array(fc.nat(20), { maxLength: 3 })
    .map((numbers) => numbers.map((n, index) => `{"${prefix}${n}":${index}}`));

const step = fc.oneof(
  fc.record({
    kind: fc.constant('append' as const),
    owner,
    call: fc.record({
      epoch,
      seq: small,
      beat: fc.option(small, { nil: undefined }),
      trimBelow: fc.option(fc.nat(5), { nil: undefined }),
      members: members('a'),
    }),
  }),
  fc.record({
    kind: fc.constant('seed' as const),
    owner,
    call: fc.record({
      epoch,
      isFirst: fc.boolean(),
      firstSeq: fc.integer({ min: 1, max: 3 }),
      members: members('s'),
      takeover,
    }),
  }),
  fc.record({
    kind: fc.constant('switch' as const),
    owner,
    call: fc.record({ epoch, count: small, takeover }),
  }),
  // The commands of a leader in order, so that runs reach interesting states.
  fc.record({ kind: fc.constant('begin' as const), owner, epoch, members: members('b') }),
  fc.record({ kind: fc.constant('setTruth' as const) }),
  fc.record({
    kind: fc.constant('hold' as const),
    owner,
    call: fc.record({ owner, epoch, token, isFirst: fc.boolean() }),
  }),
  fc.record({ kind: fc.constant('endHold' as const) }),
  // The commands of a takeover. Each of them but the hold may fail.
  fc.record({ kind: fc.constant('takeOver' as const), owner, from: owner, epoch, seq: small, token }),
  fc.record({ kind: fc.constant('deleteLog' as const), epoch }),
  fc.record({ kind: fc.constant('deleteHead' as const) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const writer = (name: string): Writer => ({ owner: name, covers: [`https://${name}`], retentionSeconds: 75 });

let server: RedisServer;
let client: Redis;
let runs = 0;

beforeAll(async () => {
  server = await startRedis();
  client = await openRedis({ url: server.url }, { connectionName: 'test' });
});

afterAll(async () => {
  client.disconnect();
  await server.stop();
});

describe('the Lua scripts', () => {
  it('change Redis as the model changes its simulated Redis, call by call', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const logName = `run-${(runs += 1)}`;
        let state = emptyState;
        for (const one of steps.flatMap(spelledOut).map(distinct)) {
          const expected = modelled(state, one);
          expect(await real(logName, one)).toEqual(expected.reply);
          state = expected.state;
          expect(await contents(logName)).toEqual(modelContents(state));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('publish each batch once, and nothing for a batch without events', async () => {
    const log = redisLog('published', 'one');
    const subscriber = await openRedis({ url: server.url }, { connectionName: 'test' });
    const messages: string[] = [];
    subscriber.on('message', (_channel: string, text: string) => messages.push(text));
    await subscriber.subscribe(logKeys('published').events);
    await log.seed({ epoch: 1, isFirst: true, firstSeq: 1, members: [], takeover: undefined });
    await log.switch({ epoch: 1, count: 0, takeover: undefined });
    const call = { epoch: 1, seq: 0, beat: 0, trimBelow: undefined, members: ['{"seq":1}', '{"seq":2}'] };
    await log.append(call);
    const again = await log.append(call);
    await log.append({ ...call, seq: 2, beat: 1, members: [] });
    await subscriber.ping();
    subscriber.disconnect();
    expect(again).toMatchObject({ status: 'ok', seq: 2, beat: 1 });
    expect(messages).toEqual(['{"v":1,"owner":"one","epoch":1,"seq":2,"events":[{"seq":1},{"seq":2}]}']);
  });

  it('append 1000 events of a full kilobyte in one call', async () => {
    const log = redisLog('large', 'one');
    await log.seed({ epoch: 1, isFirst: true, firstSeq: 1, members: [], takeover: undefined });
    await log.switch({ epoch: 1, count: 0, takeover: undefined });
    const many = Array.from({ length: 1000 }, (_, index) =>
      JSON.stringify({ seq: index + 1, id: 'x'.repeat(1000) }),
    );
    const reply = await log.append({ epoch: 1, seq: 0, beat: 0, trimBelow: undefined, members: many });
    expect(reply).toMatchObject({ status: 'ok', seq: 1000, beat: 1 });
  });

  it('write sequence numbers beyond 1e15 in full', async () => {
    const log = redisLog('beyond', 'one');
    const start = 9_007_199_254_740_000;
    await log.seed({ epoch: 1, isFirst: true, firstSeq: 1, members: [], takeover: undefined });
    await log.switch({ epoch: 1, count: 0, takeover: undefined });
    await client.hset(logKeys('beyond').head, 'seq', String(start));
    await log.append({ epoch: 1, seq: start, beat: 0, trimBelow: undefined, members: ['{}'] });
    expect(await client.hget(logKeys('beyond').head, 'seq')).toBe('9007199254740001');
    expect(await client.zscore(logKeys('beyond').log(1), '{}')).toBe('9007199254740001');
  });
});

type Plain = Exclude<Step, { kind: 'begin' | 'takeOver' }>;

function spelledOut(one: Step): Plain[] {
  if (one.kind === 'takeOver') {
    const { owner: name, from, epoch: begun, token: hold, seq } = one;
    const takeover = { owner: from, seq, hold };
    return [
      ...epochs.map((found): Plain => {
        return { kind: 'hold', owner: name, call: { owner: from, epoch: found, token: hold, isFirst: true } };
      }),
      {
        kind: 'seed',
        owner: name,
        call: { epoch: begun, isFirst: true, firstSeq: 1, members: [], takeover },
      },
      { kind: 'switch', owner: name, call: { epoch: begun, count: 0, takeover } },
    ];
  }
  if (one.kind !== 'begin') return [one];
  const { owner: name, epoch: begun, members: seeded } = one;
  return [
    {
      kind: 'seed',
      owner: name,
      call: { epoch: begun, isFirst: true, firstSeq: 1, members: seeded, takeover: undefined },
    },
    { kind: 'switch', owner: name, call: { epoch: begun, count: new Set(seeded).size, takeover: undefined } },
  ];
}

/** Events are unique, because each has its sequence number. A set of Redis would merge equal ones. */
function distinct(one: Plain, at: number): Plain {
  const own = (texts: readonly string[]): string[] => texts.map((text) => text.replace('}', `,"at":${at}}`));
  if (one.kind === 'append') return { ...one, call: { ...one.call, members: own(one.call.members) } };
  return one.kind === 'seed' ? { ...one, call: { ...one.call, members: own(one.call.members) } } : one;
}

function modelled(
  state: RedisState,
  one: Plain,
): { state: RedisState; reply: LogReply | boolean | undefined } {
  switch (one.kind) {
    case 'append':
      return append(state, writer(one.owner), one.call);
    case 'seed':
      return seed(state, writer(one.owner), one.call);
    case 'switch':
      return switchTo(state, writer(one.owner), one.call);
    case 'setTruth':
      return { state: withTruthInRedis(state), reply: undefined };
    case 'hold': {
      const held = hold(state, one.call);
      return { state: held.state, reply: held.isHeld };
    }
    case 'endHold':
      return { state: withoutHold(state), reply: undefined };
    case 'deleteLog':
      return { state: withoutLog(state, one.epoch), reply: undefined };
    case 'deleteHead':
      return { state: withoutHead(state), reply: undefined };
  }
}

const redisLog = (logName: string, name: string): RedisLog =>
  new RedisLog({ client, logName, ...writer(name) });

const holdKey = (logName: string): string => `{${logName}}:hold`;

async function real(logName: string, one: Plain): Promise<LogReply | boolean | undefined> {
  const keys = logKeys(logName);
  switch (one.kind) {
    case 'append':
      return redisLog(logName, one.owner).append(one.call);
    case 'seed':
      return redisLog(logName, one.owner).seed(one.call);
    case 'switch':
      return redisLog(logName, one.owner).switch(one.call);
    case 'setTruth':
      if ((await client.exists(keys.head)) === 1) await client.hset(keys.head, 'truth', 'redis');
      return undefined;
    case 'hold':
      return redisLog(logName, one.owner).hold(one.call);
    case 'endHold':
      await client.del(holdKey(logName));
      return undefined;
    case 'deleteLog':
      await client.del(keys.log(one.epoch));
      return undefined;
    case 'deleteHead':
      await client.del(keys.head);
      return undefined;
  }
}

async function contents(logName: string): Promise<unknown> {
  const keys = logKeys(logName);
  const head = await client.hmget(keys.head, ...headFields);
  const logs = await Promise.all(
    epochs.map((one) => client.call('zrange', [keys.log(one), '0', '-1', 'WITHSCORES'])),
  );
  const token = await client.hget(holdKey(logName), 'token');
  return { head, logs, hold: token ?? undefined };
}

const modelContents = (state: RedisState): unknown => ({
  head: headValues(state),
  hold: state.hold,
  logs: epochs.map((one) =>
    (state.logs.get(one) ?? []).flatMap(({ member, score }) => [member, String(score)]),
  ),
});
