import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type PostgresServer } from '../identity/postgres-server.ts';
import { eventually, freePort } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { addUser, startIdentityProgram, type IdentityProgram } from './identity-program.ts';
import { ownRedis, startSidecar, type Sidecar } from './stand.ts';
import { measured, seconds } from './table.ts';
import { watch, type Revoked } from './witness.ts';

let postgres: PostgresServer;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

type Replicas = { leader: IdentityProgram; other: IdentityProgram; sidecar: Sidecar };

/** Two `bin/curfew identity` on one database: one leads. */
async function startReplicas(): Promise<Replicas> {
  const redis = await ownRedis();
  const [first, second] = [await freePort(), await freePort()];
  const place = {
    folder: temporaryDirectory(),
    database: { postgres: { url: await postgres.createDatabase(), poolSize: 8 } },
    redis: redis.url,
    issuer: `http://127.0.0.1:${first}`,
  };
  const replicas = await Promise.all(
    [first, second].map((port, index) => startIdentityProgram({ ...place, port }, `identity-${index}`)),
  );
  await addUser({ ...place, port: first }, 'identity-0', 'lise');
  const sidecar = startSidecar({ url: redis.url }, { issuer: place.issuer });
  await sidecar.untilLive();
  const leader = await eventually('one leads', async () => {
    for (const one of replicas) if ((await one.role()) === 'leading') return one;
    return undefined;
  });
  const other = replicas.find((one) => one !== leader);
  if (other === undefined) throw new Error('one replica only');
  return { leader, other, sidecar };
}

async function logout(identity: IdentityProgram): Promise<Revoked> {
  const session = await identity.login('lise');
  await identity.logout(session);
  return { session: session.id, committedMs: performance.now() };
}

describe('two identities on one PostgreSQL', () => {
  it.each([
    { how: 'killed', signal: 'SIGKILL' as const, design: 'stale at most 7.0 s' },
    { how: 'hung', signal: 'SIGSTOP' as const, design: '-' },
  ])('the leader is $how: the other takes over, and nothing is missed', async ({ how, signal, design }) => {
    const { leader, other, sidecar } = await startReplicas();
    const witness = watch(sidecar);
    const before = await logout(leader);
    witness.expect([before]);
    await sidecar.untilKnows([before]);
    witness.worstStalenessMs();

    leader.program.child.kill(signal);
    const gone = performance.now();
    const meanwhile = await logout(other);
    witness.expect([meanwhile]);
    await sidecar.untilKnows([meanwhile], 40_000);
    const knows = performance.now() - gone;
    await eventually(
      'the other leads',
      async () => ((await other.role()) === 'leading' ? true : undefined),
      20_000,
    );
    await eventually(
      'fresh again',
      () => (sidecar.status().stalenessMs ?? Infinity) < 3500 || undefined,
      30_000,
    );
    const worst = witness.worstStalenessMs();
    measured({
      fault: `leader ${how}, another replica takes over`,
      expected: 'stale at most 20 s, a logout meanwhile known < 20 s',
      measured: `stale at most ${seconds(worst)}, known after ${seconds(knows)}`,
      design,
    });
    expect(worst).toBeLessThan(20_000);
    expect(knows).toBeLessThan(20_000);
    if (signal === 'SIGSTOP') await wakesUpAndStandsBy({ leader, other, sidecar });
    expect(witness.broken).toEqual([]);

    async function wakesUpAndStandsBy(replicas: Replicas): Promise<void> {
      const { epoch } = sidecar.status();
      replicas.leader.program.child.kill('SIGCONT');
      await eventually('the old leader stands by', async () =>
        (await replicas.leader.role()) === 'following' ? true : undefined,
      );
      for (const identity of [replicas.leader, replicas.other]) {
        const revoked = await logout(identity);
        witness.expect([revoked]);
        await sidecar.untilKnows([revoked]);
      }
      expect(sidecar.status().epoch).toBe(epoch);
    }
  });
});
