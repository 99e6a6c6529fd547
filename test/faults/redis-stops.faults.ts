import { describe, expect, it } from 'vitest';
import { eventually } from '../processes.ts';
import { maxExposureMs, ownRedis, sessionNames, startOwner, startPair, startSidecar } from './stand.ts';
import { measured, seconds } from './table.ts';
import { watch } from './witness.ts';

describe('Redis', () => {
  it('hangs (SIGSTOP): the dead link is detected within seconds, and nothing is missed', async () => {
    const redis = await ownRedis();
    const { owner, sidecar } = await startPair({ url: redis.url });
    const witness = watch(sidecar);
    redis.freeze();
    const frozen = performance.now();
    witness.expect(await owner.revoke(...sessionNames(3)));
    await eventually('the dead link is known', () => !sidecar.status().connected || undefined);
    const knownDead = performance.now() - frozen;
    redis.thaw();
    const thawed = performance.now();
    await eventually('caught up', () => witness.delaysMs().length === 3 || undefined);
    const caughtUp = performance.now() - thawed;
    await sidecar.untilLive();
    measured({
      fault: 'Redis hangs (SIGSTOP)',
      expected: 'dead link known < 6 s, caught up < 8 s after',
      measured: `known ${seconds(knownDead)}, caught up ${seconds(caughtUp)}`,
      design: 'known 2.1-2.8 s',
    });
    expect(knownDead).toBeLessThan(6000);
    expect(caughtUp).toBeLessThan(8000);
    expect(witness.broken).toEqual([]);
  });

  it('is killed and restarts empty: the owner rebuilds the log, for old and new sidecars', async () => {
    const redis = await ownRedis();
    const { owner, sidecar } = await startPair({ url: redis.url });
    const witness = watch(sidecar);
    const before = await owner.revoke(...sessionNames(50));
    witness.expect(before);
    await sidecar.untilKnows(before);
    await redis.kill('SIGKILL');
    const meanwhile = await owner.revoke(...sessionNames(5));
    witness.expect(meanwhile);
    await redis.start();
    const restarted = performance.now();
    const fresh = startSidecar({ url: redis.url });
    const freshWitness = watch(fresh);
    freshWitness.expect([...before, ...meanwhile]);
    await fresh.untilKnows([...before, ...meanwhile]);
    const knows = performance.now() - restarted;
    await fresh.untilLive();
    const live = performance.now() - restarted;
    await sidecar.untilKnows(meanwhile);
    await sidecar.untilLive();
    measured({
      fault: 'kill -9 without persistence',
      expected: 'a new sidecar knows all < 8 s after the restart, live < 12 s',
      measured: `knows ${seconds(knows)}, live ${seconds(live)}`,
      design: 'about 1 s, live 2.1 s',
    });
    expect(knows).toBeLessThan(8000);
    expect(live).toBeLessThan(12_000);
    expect([...witness.broken, ...freshWitness.broken]).toEqual([]);
  });

  it('is killed and restarts with its append-only file: nothing is missed', async () => {
    const redis = await ownRedis(['--appendonly', 'yes', '--appendfsync', 'always']);
    const { owner, sidecar } = await startPair({ url: redis.url });
    const witness = watch(sidecar);
    const before = await owner.revoke(...sessionNames(50));
    witness.expect(before);
    await sidecar.untilKnows(before);
    const { epoch } = sidecar.status();
    await redis.kill('SIGKILL');
    const meanwhile = await owner.revoke(...sessionNames(5));
    witness.expect(meanwhile);
    await redis.start();
    const restarted = performance.now();
    const fresh = startSidecar({ url: redis.url });
    const freshWitness = watch(fresh);
    freshWitness.expect([...before, ...meanwhile]);
    await fresh.untilKnows([...before, ...meanwhile]);
    const knows = performance.now() - restarted;
    await fresh.untilLive();
    const live = performance.now() - restarted;
    await sidecar.untilKnows(meanwhile);
    measured({
      fault: 'kill -9 with an append-only file',
      expected: 'as above; the epoch goes on unless its lease was lost',
      measured: `knows ${seconds(knows)}, live ${seconds(live)}, epoch ${epoch} -> ${fresh.status().epoch}`,
      design: '-',
    });
    expect(knows).toBeLessThan(8000);
    expect(live).toBeLessThan(12_000);
    expect([...witness.broken, ...freshWitness.broken]).toEqual([]);
  });

  it.each([
    { fault: 'FLUSHALL', design: 'about 1 s, live 2.1 s', words: () => ['FLUSHALL'] },
    {
      fault: 'log key deleted, head kept',
      design: '-',
      words: (epoch: number) => ['DEL', `{curfew}:log:${epoch}`],
    },
    {
      fault: 'head deleted, log key kept',
      design: '-',
      words: () => ['DEL', '{curfew}:head'],
    },
  ])('loses its data ($fault): the owner rebuilds the log', async ({ fault, design, words }) => {
    const redis = await ownRedis();
    const { owner, sidecar } = await startPair({ url: redis.url });
    const witness = watch(sidecar);
    const before = await owner.revoke(...sessionNames(50));
    witness.expect(before);
    await sidecar.untilKnows(before);
    const { epoch = 0 } = sidecar.status();
    await redis.command(...words(epoch));
    const lost = performance.now();
    const fresh = startSidecar({ url: redis.url });
    const freshWitness = watch(fresh);
    const after = await owner.revoke(...sessionNames(5));
    for (const one of [witness, freshWitness]) one.expect(after);
    freshWitness.expect(before);
    await fresh.untilKnows([...before, ...after]);
    const knows = performance.now() - lost;
    await fresh.untilLive();
    const live = performance.now() - lost;
    await sidecar.untilKnows(after);
    await eventually('the new epoch is followed', () => (sidecar.status().epoch ?? 0) > epoch || undefined);
    await sidecar.untilLive();
    measured({
      fault,
      expected: 'a new sidecar knows all < 5 s, live < 10 s',
      measured: `knows ${seconds(knows)}, live ${seconds(live)}, stale at most ${seconds(witness.worstStalenessMs())}`,
      design,
    });
    expect(knows).toBeLessThan(5000);
    expect(live).toBeLessThan(10_000);
    expect([...witness.broken, ...freshWitness.broken]).toEqual([]);
  });

  it('starts after the sidecar: until then only young tokens are accepted, and then everything is known', async () => {
    const redis = await ownRedis();
    await redis.kill();
    const sidecar = startSidecar({ url: redis.url });
    const witness = watch(sidecar);
    const owner = await startOwner({ url: redis.url });
    const revoked = await owner.revoke(...sessionNames(5));
    witness.expect(revoked);
    expect(sidecar.evaluate('somebody', Date.now())).toBe('clear');
    expect(sidecar.evaluate('somebody', Date.now() - maxExposureMs - 1000)).toBe('unproven');
    await redis.start();
    const started = performance.now();
    await sidecar.untilKnows(revoked);
    const knows = performance.now() - started;
    await sidecar.untilLive();
    const live = performance.now() - started;
    expect(sidecar.evaluate('somebody', Date.now() - maxExposureMs - 1000)).toBe('clear');
    measured({
      fault: 'sidecar started before Redis',
      expected: 'knows all < 8 s after the start of Redis, live < 12 s',
      measured: `knows ${seconds(knows)}, live ${seconds(live)}`,
      design: '-',
    });
    expect(knows).toBeLessThan(8000);
    expect(live).toBeLessThan(12_000);
    expect(witness.broken).toEqual([]);
  });
});
