import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished, describe, expect, it } from 'vitest';
import { findRedis } from '../../src/demo/programs.ts';
import type { RedisOptions } from '../../src/redis/connection.ts';
import { eventually, freePort, startProgram } from '../processes.ts';
import type { RedisServer } from '../redis/redis-server.ts';
import { temporaryDirectory } from '../temporary.ts';
import { startLink } from './link.ts';
import { ownRedis, sessionNames, startOwner, startPair, startSidecar } from './stand.ts';
import { measured, seconds } from './table.ts';
import { watch } from './witness.ts';

const downAfterMs = 2000;

/** A master, its replica, and three sentinels of which two have to agree. */
async function startGroup(): Promise<{ master: RedisServer; replica: RedisServer; redis: RedisOptions }> {
  const master = await ownRedis();
  const replica = await ownRedis(['--replicaof', '127.0.0.1', String(master.port)]);
  await eventually('the replica copies', async () =>
    (await replica.command('INFO', 'replication')).includes('master_link_status:up') ? true : undefined,
  );
  const found = await findRedis();
  const ports: number[] = [];
  for (let one = 0; one < 3; one += 1) {
    const port = await freePort();
    const file = join(temporaryDirectory(), 'sentinel.conf');
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `sentinel monitor group 127.0.0.1 ${master.port} 2`,
      `sentinel down-after-milliseconds group ${downAfterMs}`,
      'sentinel failover-timeout group 10000',
      'sentinel parallel-syncs group 1',
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    const sentinel = startProgram('sentinel', found.command, [...found.args, file, '--sentinel']);
    onTestFinished(async () => void (await sentinel.stop('SIGKILL')));
    await eventually(
      'the sentinel knows the replica',
      () => sentinel.printed().includes('+slave') || undefined,
    );
    ports.push(port);
  }
  const sentinels = ports.map((port) => ({ host: '127.0.0.1', port }));
  return { master, replica, redis: { sentinels, name: 'group' } };
}

describe('a fail-over', () => {
  it.each([{ how: 'killed' as const }, { how: 'hung' as const }])(
    'by Sentinel, of a master that is $how: nothing is missed',
    async ({ how }) => {
      const { master, redis } = await startGroup();
      const { owner, sidecar } = await startPair(redis);
      const witness = watch(sidecar);
      const before = await owner.revoke(...sessionNames(50));
      witness.expect(before);
      await sidecar.untilKnows(before);
      witness.worstStalenessMs();
      if (how === 'hung') master.freeze();
      else await master.kill();
      const gone = performance.now();
      const meanwhile = await owner.revoke(...sessionNames(5));
      witness.expect(meanwhile);
      await sidecar.untilKnows(meanwhile, 40_000);
      const knows = performance.now() - gone;
      await sidecar.untilLive();
      // The view has a new proof. The staleness above is that of the fail-over.
      await eventually(
        'fresh again',
        () => (sidecar.status().stalenessMs ?? Infinity) < 3500 || undefined,
        30_000,
      );
      const worst = witness.worstStalenessMs();
      // The old master comes back, and Sentinel makes it a replica.
      if (how === 'hung') master.thaw();
      else await master.start();
      const after = await owner.revoke(...sessionNames(5));
      witness.expect(after);
      await sidecar.untilKnows(after);
      measured({
        fault: `Sentinel fail-over, master ${how} (down-after 2 s)`,
        expected: 'stale at most 20 s, then nothing missing',
        measured: `stale at most ${seconds(worst)}, new revocations known after ${seconds(knows)}`,
        design: 'stale at most 6.2 s',
      });
      expect(worst).toBeLessThan(20_000);
      expect(witness.broken).toEqual([]);
    },
  );

  it('to a replica that lacks five events: the view is never complete without them', async () => {
    const master = await ownRedis();
    const replica = await ownRedis(['--replicaof', '127.0.0.1', String(master.port)]);
    const link = await startLink(master.port);
    const { owner, sidecar } = await startPair({ url: link.url });
    const witness = watch(sidecar);
    const copied = await owner.revoke(...sessionNames(20));
    witness.expect(copied);
    await sidecar.untilKnows(copied);
    const log = `{curfew}:log:${sidecar.status().epoch}`;
    const inMaster = await master.command('ZCARD', log);
    await eventually('the replica has them', async () =>
      (await replica.command('ZCARD', log)) === inMaster ? true : undefined,
    );
    // The replica keeps its data and stops replicating.
    await replica.command('REPLICAOF', '127.0.0.1', String(await freePort()));
    const missed = await owner.revoke(...sessionNames(5));
    witness.expect(missed);
    await sidecar.untilKnows(missed);
    witness.worstStalenessMs();

    link.port = replica.port;
    link.cut();
    await master.kill();
    await replica.command('REPLICAOF', 'NO', 'ONE');
    const promoted = performance.now();
    const fresh = startSidecar({ url: link.url });
    const freshWitness = watch(fresh);
    freshWitness.expect([...copied, ...missed]);
    await fresh.untilKnows([...copied, ...missed]);
    const knows = performance.now() - promoted;
    await fresh.untilLive();
    await sidecar.untilLive();
    const live = performance.now() - promoted;
    measured({
      fault: 'promoted replica misses 5 events',
      expected: 'a new sidecar knows them < 8 s, is not called complete before',
      measured: `knows ${seconds(knows)}, all live ${seconds(live)}, the old one stale at most ${seconds(witness.worstStalenessMs())}`,
      design: 'recovered in 2.8 s',
    });
    expect(knows).toBeLessThan(8000);
    expect([...witness.broken, ...freshWitness.broken]).toEqual([]);
  });
});

describe('two owners on one log', () => {
  it('the second writes nothing and reports the other owner, and the first continues undisturbed', async () => {
    const redis = await ownRedis();
    const { owner, sidecar } = await startPair({ url: redis.url });
    const witness = watch(sidecar);
    witness.worstStalenessMs();
    const { owner: first, epoch } = sidecar.status();
    const second = await startOwner({ url: redis.url });
    const started = performance.now();
    const intruding = await second.revoke(...sessionNames(3, 'intruder'));
    await eventually(
      'the second is refused',
      () => second.publisher.status().role === 'refused' || undefined,
    );
    const refused = performance.now() - started;
    expect(second.publisher.status().problem).toContain(`belongs to owner ${first}`);
    const revoked = await owner.revoke(...sessionNames(20));
    witness.expect(revoked);
    await sidecar.untilKnows(revoked);
    for (const { session } of intruding) expect(sidecar.knows(session)).toBe(false);
    expect(sidecar.status()).toMatchObject({ owner: first, epoch, state: 'live' });
    const worst = witness.worstStalenessMs();
    measured({
      fault: 'two owners on one log',
      expected: 'the second refused < 5 s, the first undisturbed',
      measured: `refused in ${seconds(refused)}, same epoch, stale at most ${seconds(worst)}`,
      design: '-',
    });
    expect(refused).toBeLessThan(5000);
    expect(worst).toBeLessThan(8000);
    expect(witness.broken).toEqual([]);
  });
});
