import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { findRedis } from '../../src/demo/programs.ts';
import { openRedis } from '../../src/redis/connection.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { eventually, freePort, startProgram, tail } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { maxExposureMs, ownRedis, sessionNames, startOwner, startPair, startSidecar } from './stand.ts';
import { cannotShow, measured, seconds } from './table.ts';
import { watch } from './witness.ts';

const hour = 3600;

type SteppingRedis = { readonly url: string; step(offsetSeconds: number): void; now(): Promise<number> };

/** A Redis whose wall clock can be stepped. @returns a reason, if this machine can't do it */
async function startSteppingRedis(): Promise<SteppingRedis | string> {
  const folder = temporaryDirectory();
  const library = join(folder, 'clock-offset.so');
  const source = join(import.meta.dirname, 'clock-offset.c');
  const built = spawnSync('cc', ['-shared', '-fPIC', '-O2', '-o', library, source, '-ldl'], {
    encoding: 'utf8',
  });
  if (built.status !== 0) return `no C compiler: ${built.error?.message ?? built.stderr.trim()}`;
  const offsetFile = join(folder, 'offset');
  const step = (offsetSeconds: number): void => writeFileSync(offsetFile, String(offsetSeconds));
  step(0);
  const redis = await findRedis();
  const port = await freePort();
  const own = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder];
  const program = startProgram('redis', redis.command, [...redis.args, ...own], {
    LD_PRELOAD: library,
    CLOCK_OFFSET_FILE: offsetFile,
  });
  onTestFinished(async () => void (await program.stop('SIGKILL')));
  await eventually(
    `Redis starts: ${tail(program.printed())}`,
    () => program.printed().includes('Ready to accept connections') || undefined,
  );
  const url = `redis://127.0.0.1:${port}`;
  const now = async (): Promise<number> => {
    const client = await openRedis({ url }, { connectionName: 'test' });
    const [text] = await client.time();
    client.disconnect();
    return Number(text);
  };
  return { url, step, now };
}

describe('the clock', () => {
  it('of Redis steps an hour forward and an hour back, without any effect', async () => {
    const redis = await startSteppingRedis();
    if (typeof redis === 'string') return cannotShow('clock of Redis steps by an hour', redis);
    const { owner, sidecar } = await startPair({ url: redis.url });
    const witness = watch(sidecar);
    const { epoch } = sidecar.status();
    let slowest = 0;
    for (const offset of [hour, -hour, 0]) {
      redis.step(offset);
      expect(Math.abs((await redis.now()) - Date.now() / 1000 - offset)).toBeLessThan(5);
      const revoked = await owner.revoke(...sessionNames(20));
      witness.expect(revoked);
      await sidecar.untilKnows(revoked);
      slowest = Math.max(slowest, performance.now() - (revoked[0]?.committedMs ?? 0));
      const fresh = startSidecar({ url: redis.url });
      await fresh.untilKnows(revoked);
      await fresh.untilLive();
    }
    const worst = witness.worstStalenessMs();
    measured({
      fault: 'clock of Redis steps by +1 h, -1 h',
      expected: 'no effect: known < 4 s, same epoch, stale < 8 s',
      measured: `known in ${seconds(slowest)} at most, stale at most ${seconds(worst)}`,
      design: '-',
    });
    expect(sidecar.status().epoch).toBe(epoch);
    expect(slowest).toBeLessThan(4000);
    expect(worst).toBeLessThan(8000);
    expect(witness.broken).toEqual([]);
  });

  it('of the sidecar steps: a step back has no effect, and a step forward makes the view stale until the next proof', async () => {
    const redis = await ownRedis();
    const owner = await startOwner({ url: redis.url });
    let offsetMs = 0;
    const clock: Clock = { nowMs: () => Date.now() + offsetMs, monotonicMs: () => performance.now() };
    const sidecar = startSidecar({ url: redis.url }, { clock });
    await owner.untilLeading();
    await sidecar.untilLive();
    const revoked = await owner.revoke(...sessionNames(20));
    await sidecar.untilKnows(revoked);
    const recoveries: number[] = [];
    for (const step of [2000, -2000, hour * 1000, -hour * 1000]) {
      offsetMs += step;
      const stepped = performance.now();
      const isAhead = step > maxExposureMs;
      // As far as the view can tell, its last proof may be an hour old.
      expect(sidecar.status().state).toBe(isAhead ? 'stale' : 'live');
      const old = clock.nowMs() - maxExposureMs - 2000;
      expect(sidecar.evaluate('somebody', old)).toBe(isAhead ? 'unproven' : 'clear');
      const during = await owner.revoke(...sessionNames(3));
      await sidecar.untilKnows([...revoked, ...during]);
      await eventually('proven again', () => sidecar.evaluate('somebody', old) === 'clear' || undefined);
      recoveries.push(performance.now() - stepped);
      await sidecar.untilLive();
    }
    const worst = Math.max(...recoveries);
    measured({
      fault: 'clock of the sidecar steps by ±2 s, ±1 h',
      expected: 'nothing lost; proven again < 8 s',
      measured: `proven again in ${recoveries.map(seconds).join(', ')}`,
      design: '-',
    });
    expect(worst).toBeLessThan(8000);
    for (const { session } of revoked) expect(sidecar.knows(session)).toBe(true);
  });
});
