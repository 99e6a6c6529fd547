import { sql } from 'kysely';
import * as client from 'openid-client';
import { describe, expect, it, onTestFinished } from 'vitest';
import { revoke } from '../../src/identity/operator/session-commands.ts';
import { createIssuingClock } from '../../src/identity/session/issuing-clock.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { createLog } from '../../src/runtime/log.ts';
import { eventually, freePort } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { onEachDatabase, query } from './databases.ts';
import { login, payloadOf, refresh } from './flows.ts';
import { loginGrantType, password } from './identity-server.ts';

const startMs = 1_000_000_000;

/** This machine's clock and the database's, both at will. */
function clocks(options: { toleranceMs?: number; everyMs?: number; answerMs?: number } = {}) {
  const { toleranceMs = 5000, everyMs = 3_600_000, answerMs = 0 } = options;
  let [passedMs, machineMs, databaseMs] = [0, 0, 0];
  let isDown = false;
  let logged = '';
  const issuing = createIssuingClock({
    readDatabaseMs: () => {
      if (isDown) return Promise.reject(new Error('connection lost'));
      const readMs = startMs + passedMs + databaseMs;
      passedMs += answerMs;
      return Promise.resolve(readMs);
    },
    clock: { nowMs: () => startMs + passedMs + machineMs, monotonicMs: () => passedMs },
    clockToleranceMs: toleranceMs,
    log: createLog({
      program: 'test',
      level: 'debug',
      destination: { write: (line) => void (logged += line) },
    }),
    everyMs,
  });
  onTestFinished(() => issuing.stop());
  return {
    ...issuing,
    pass: (ms: number) => void (passedMs += ms),
    setMachine: (ms: number) => void (machineMs = ms),
    setDatabase: (ms: number) => void (databaseMs = ms),
    setDown: (to: boolean) => void (isDown = to),
    logged: () => logged,
  };
}

const startSeconds = startMs / 1000;

describe('the issuing clock', () => {
  it("is the database's time when this machine's clock is ahead", async () => {
    const { start, setMachine, now, pass } = clocks();
    setMachine(4000);
    await start();
    expect(now()).toBe(startSeconds);
    pass(1000);
    expect(now()).toBe(startSeconds + 1);
  });

  it("is this machine's time when its clock is behind", async () => {
    const { start, setMachine, now } = clocks();
    setMachine(-4000);
    await start();
    expect(now()).toBe(startSeconds - 4);
  });

  it("does not jump ahead with this machine's clock, even before the jump is detected", async () => {
    const { start, setMachine, now, pass } = clocks();
    await start();
    setMachine(3_600_000);
    pass(2000);
    expect(now()).toBe(startSeconds + 2);
  });

  it('is never later than the database’s, however long the answer takes', async () => {
    const { start, now, pass, state } = clocks({ answerMs: 30_000 });
    await start();
    pass(1000);
    expect(now()).toBe(startSeconds + 1);
    // That the clocks disagree can't be told from this.
    expect(state()).toBe('agrees');
  });

  it.each([
    [5000, 5000, 'agrees'],
    [5000, 5001, 'ahead'],
    [5000, -5000, 'agrees'],
    [5000, -5001, 'behind'],
    [0, 2000, 'agrees'],
    [0, 2001, 'ahead'],
  ])(
    'allows for %i ms and 2 s at least: one that is %i ms ahead %s',
    async (toleranceMs, aheadMs, expected) => {
      const { start, setMachine, state, logged } = clocks({ toleranceMs });
      setMachine(aheadMs);
      await start();
      expect(state()).toBe(expected);
      expect(logged().includes('no tokens are issued')).toBe(expected !== 'agrees');
    },
  );

  it("reads the database's clock at intervals, and continues from the last reading while the database is unavailable", async () => {
    const { start, setMachine, setDown, state, now, pass, logged } = clocks({ everyMs: 1 });
    await start();
    setMachine(60_000);
    await eventually('noticed', () => (state() === 'ahead' ? true : undefined));
    setDown(true);
    await eventually('gone', () =>
      logged().includes('could not read the clock of the database') ? true : undefined,
    );
    pass(3000);
    expect(now()).toBe(startSeconds + 3);
    setDown(false);
    setMachine(0);
    await eventually('again', () => (state() === 'agrees' ? true : undefined));
    expect(logged().match(/no tokens are issued/g)).toHaveLength(1);
  });

  it('has no time before the first reading, without which its start fails', async () => {
    const { start, now, setDown } = clocks();
    expect(() => now()).toThrow('was not read yet');
    setDown(true);
    await expect(start()).rejects.toThrow('connection lost');
  });
});

onEachDatabase('identity on a machine whose clock is ahead of the database’s', ({ start, create }) => {
  const readDatabaseMs = () => Promise.resolve(Date.now());
  const ahead = (ms: () => number) => ({ ...systemClock, nowMs: () => Date.now() + ms() });

  it('issues no token that outlives a revocation of its subject', async () => {
    const identity = await start({}, { clock: ahead(() => 4500), readDatabaseMs });
    onTestFinished(() => identity.stop());
    await identity.addUser('chien');
    const { iat, exp } = payloadOf((await login(identity, 'chien')).access) as { iat: number; exp: number };
    await revoke(identity.config, { kind: 'subject', id: 'chien' });
    const [event] = await query(
      identity,
      sql<{ at: number }>`select at from revocation_outbox where kind = 'subject'`,
    );
    expect(iat).toBeLessThanOrEqual(event?.at ?? 0);
    expect(exp - iat).toBe(60);
  });

  it('beyond the tolerance, issues and uses no token, still ends sessions, and logs it', async () => {
    const directory = temporaryDirectory();
    const port = await freePort();
    const database = await create(directory);
    const fixed = { issuer: `http://127.0.0.1:${port}`, listen: `127.0.0.1:${port}`, database };
    const before = await start(fixed);
    await before.addUser('chien');
    const [kept, ended] = [await login(before, 'chien'), await login(before, 'chien')];
    await before.stop();

    let aheadMs = 6000;
    const identity = await start(fixed, { clock: ahead(() => aheadMs), readDatabaseMs });
    onTestFinished(() => identity.stop());
    for (const [path, body] of [
      ['/token', { grant_type: loginGrantType, client_id: 'cli', username: 'chien', password }],
      ['/Token/', { grant_type: 'refresh_token', client_id: 'cli', refresh_token: kept.refresh }],
    ] as const) {
      const answer = await fetch(`${identity.issuer}${path}`, {
        method: 'POST',
        body: new URLSearchParams(body),
      });
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
      expect(await answer.json()).toMatchObject({ error: 'temporarily_unavailable' });
    }
    await client.tokenRevocation(await identity.relyingParty('cli'), ended.refresh);
    const readiness = await fetch(`${identity.admin}/readyz`);
    expect([readiness.status, await readiness.json()]).toMatchObject([200, { parts: { clock: 'ahead' } }]);
    expect(identity.logged()).toContain('no tokens are issued');

    aheadMs = 0;
    const next = await eventually('the clocks agree', () => refresh(identity, kept).catch(() => undefined));
    expect(next.session).toBe(kept.session);
    await expect(refresh(identity, ended)).rejects.toMatchObject({ error: 'invalid_grant' });
  });
});
