import { Agent, request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startAuthorizer, untilReady } from '../authorizer/authorizer-program.ts';
import { startEchoService, type EchoService } from '../envoy/echo-service.ts';
import { startEnvoy, type RunningEnvoy } from '../envoy/envoy-process.ts';
import { eventually, freePort } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { addUser, startIdentityProgram, type IdentityProgram, type Session } from './identity-program.ts';
import { ownRedis } from './stand.ts';
import { measured, quantile } from './table.ts';

// Everything real: `bin/curfew identity`, Redis, `bin/curfew authorizer`, Envoy. A logout is answered once it
// is in the log, or after 250 ms. Requests with the session's tokens are sent before, during and after.

const logouts = Number(process.env['CURFEW_RACE_LOGOUTS'] ?? 2000);
const workers = 8;
const users = 16;
/** Requests sent after the answer to a logout, with each of the session's tokens. */
const requestsAfter = 3;
/**
 * Envoy refuses a request after waiting one second for a decision. This happens on a busy machine and is
 * harmless.
 */
const unavailable = 503;
const publishWaitMs = 250;
/**
 * A request that is sent this long after the answer must be refused; ms. The default is 0, because the
 * sidecar reads everything that has arrived before it decides.
 */
const overtakeMs = Number(process.env['CURFEW_RACE_OVERTAKE_MS'] ?? 0);
/** The same for a logout that was answered before it was in the log. */
const unpublishedMs = 5000;

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

/** The status of a request through Envoy, and when it was sent and answered. */
type Tried = { readonly status: number; readonly sentMs: number; readonly answeredMs: number };

async function order(port: number, token: string): Promise<Tried> {
  const sentMs = performance.now();
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const headers = { authorization: `Bearer ${token}` };
  request({ host: '127.0.0.1', port, path: '/orders', headers, agent }, (response) => {
    response.resume().on('end', () => resolve(response.statusCode ?? 0));
  })
    .on('error', reject)
    .end();
  return { status: await promise, sentMs, answeredMs: performance.now() };
}

type Counts = {
  logouts: number;
  refreshes: number;
  allowedBefore: number;
  sentAfter: number;
  unavailable: number;
  letThrough: { status: number; afterMs: number; logoutMs: number }[];
  /** From the answer to the logout to the first refusal seen, negative when it came before; ms. */
  propagationMs: number[];
  logoutMs: number[];
};

/** One session: log in, use, refresh, use, log out while using, try again. */
async function live(identity: IdentityProgram, port: number, user: string, counts: Counts): Promise<void> {
  const first = await identity.login(user);
  const sessions: Session[] = [first];
  if (counts.logouts % 2 === 0) {
    sessions.push(await identity.refresh(first));
    counts.refreshes += 1;
  }
  const last = sessions.at(-1) ?? first;
  for (const { access } of sessions) {
    await eventually('a fresh token is let through', async () => {
      const { status } = await order(port, access);
      if (status !== 200 && status !== unavailable)
        throw new Error(`a fresh token is answered with ${status}`);
      return status === 200 || undefined;
    });
    counts.allowedBefore += 1;
  }

  let answeredMs = Infinity;
  let refusedMs = Infinity;
  const note = ({ status, sentMs }: Tried): void => {
    if (status === unavailable) counts.unavailable += 1;
    if (status === 401 || status === unavailable) return;
    counts.letThrough.push({ status, afterMs: sentMs - answeredMs, logoutMs: answeredMs - begunMs });
  };
  const begunMs = performance.now();
  const hammering = (async () => {
    while (refusedMs === Infinity) {
      const tried = await order(port, last.access);
      if (tried.status === 401) refusedMs = tried.answeredMs;
      else if (tried.sentMs > answeredMs) note(tried);
      if (tried.sentMs > answeredMs + 20_000) throw new Error('a logout has no effect');
    }
  })();
  await identity.logout(last);
  answeredMs = performance.now();
  const after = Array.from({ length: requestsAfter }, () =>
    sessions.map(({ access }) => order(port, access)),
  );
  for (const tried of await Promise.all(after.flat())) {
    counts.sentAfter += 1;
    note(tried);
  }
  await hammering;
  counts.logouts += 1;
  counts.logoutMs.push(answeredMs - begunMs);
  counts.propagationMs.push(refusedMs - answeredMs);
}

const bounds = [-Infinity, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50, Infinity];

/** A histogram of the values, as lines with bars. */
function histogram(values: readonly number[]): string {
  return bounds
    .slice(1)
    .map((upper, index) => {
      const lower = bounds[index] ?? -Infinity;
      const count = values.filter((value) => value > lower && value <= upper).length;
      const bar = '#'.repeat(Math.ceil((60 * count) / values.length));
      return `${String(lower).padStart(9)} to ${String(upper).padStart(8)} ms ${String(count).padStart(6)} ${bar}`;
    })
    .join('\n');
}

describe('the race of requests against a logout', () => {
  let echo: EchoService;
  let envoy: RunningEnvoy | undefined;
  beforeAll(async () => {
    echo = await startEchoService();
  });
  afterAll(async () => {
    agent.destroy();
    await envoy?.stop();
    await echo.stop();
  });

  it(`lets no request through that is sent after a logout was answered, of ${logouts} logouts`, async () => {
    const folder = temporaryDirectory();
    const redis = await ownRedis();
    const port = await freePort();
    const issuer = `http://127.0.0.1:${port}`;
    const database = { sqlite: `${folder}/identity.db` };
    const place = { folder, database, redis: redis.url, issuer, port, tokenLifetime: '60s' };
    const identity = await startIdentityProgram(place, 'identity');
    const names = Array.from({ length: users }, (_, index) => `user-${index}`);
    for (const name of names) await addUser(place, 'identity', name);
    const authorizer = await startAuthorizer(folder, {
      issuers: [{ issuer, audiences: ['orders'], sessionClaim: 'grant_id', maxTokenLifetime: '60s' }],
      revocation: { redis: { url: redis.url }, maxExposure: '30s' },
      log: { level: 'info', decisions: 'none' },
    });
    try {
      await eventually('leading', async () => ((await identity.role()) === 'leading' ? true : undefined));
      await untilReady(authorizer);
      envoy = await startEnvoy({
        authorizer: authorizer.address,
        sources: [{ header: 'authorization' }],
        services: [
          {
            name: 'orders',
            listen: { host: '127.0.0.1', port: 0 },
            upstream: { host: '127.0.0.1', port: echo.port, protocol: 'http1' },
          },
        ],
      });
      const envoyPort = envoy.port('orders');
      const counts: Counts = {
        logouts: 0,
        refreshes: 0,
        allowedBefore: 0,
        sentAfter: 0,
        unavailable: 0,
        letThrough: [],
        propagationMs: [],
        logoutMs: [],
      };
      let begun = 0;
      const work = async (worker: number): Promise<void> => {
        while (begun < logouts) {
          begun += 1;
          await live(identity, envoyPort, names[(worker + begun) % users] ?? 'user-0', counts);
        }
      };
      const startedMs = performance.now();
      await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
      const tookSeconds = (performance.now() - startedMs) / 1000;
      const median = quantile(counts.propagationMs, 0.5).toFixed(1);
      const worst = Math.max(...counts.propagationMs).toFixed(1);
      // Identity answers after at most 250 ms, even if the revocation isn't in the log yet. On such a busy
      // machine, the answer to a logout only means that the refresh token is deleted.
      const late = counts.letThrough.filter(({ logoutMs }) => logoutMs < publishWaitMs);
      const latestMs = Math.max(0, ...counts.letThrough.map(({ afterMs }) => afterMs)).toFixed(1);
      console.log(
        [
          `${counts.logouts} logouts and ${counts.refreshes} refreshes in ${tookSeconds.toFixed(0)} s; a logout took ${quantile(counts.logoutMs, 0.5).toFixed(1)} ms (median)`,
          `${counts.allowedBefore} requests allowed before, ${counts.sentAfter} sent after the answer, ${counts.letThrough.length} of them let through (${late.length} of logouts answered in less than ${publishWaitMs} ms), the last ${latestMs} ms after the answer; ${counts.unavailable} were answered with 503`,
          `${counts.logoutMs.filter((ms) => ms >= publishWaitMs).length} logouts took longer than ${publishWaitMs} ms`,
          'from the answer to a logout to the first refusal seen by the client (negative: refused before the answer):',
          histogram(counts.propagationMs),
        ].join('\n'),
      );
      measured({
        fault: `race: ${counts.logouts} logouts through Envoy`,
        expected: `no request is let through that is sent > ${overtakeMs} ms after the answer`,
        measured: `${counts.letThrough.length} of ${counts.sentAfter} sent after it let through, the last ${latestMs} ms after; first refusal seen ${median} ms (median), ${worst} ms (worst) after the answer`,
        design: '200 logouts: refused before the answer',
      });
      expect(counts.logouts).toBe(logouts);
      const isTooLate = ({ afterMs, logoutMs }: (typeof counts.letThrough)[number]): boolean =>
        afterMs > (logoutMs < publishWaitMs ? overtakeMs : unpublishedMs);
      expect(counts.letThrough.filter(isTooLate)).toEqual([]);
    } finally {
      await authorizer.stop();
    }
  }, 1_200_000);
});
