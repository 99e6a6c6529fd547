import { describe, expect, it, onTestFinished } from 'vitest';
import { createAdminServer, type Readiness } from '../../src/runtime/admin-server.ts';
import { Fault } from '../../src/runtime/fault.ts';
import { createLog } from '../../src/runtime/log.ts';
import { createAuthorizerMetrics, createRegistry } from '../../src/runtime/metrics.ts';
import { build } from '../../src/runtime/version.ts';
import { freePort } from '../processes.ts';

const ready: Readiness = { ready: true, parts: { keys: 'usable' } };

async function startAdmin(
  readiness = ready,
  status: () => Record<string, unknown> = () => ({ state: 'live' }),
) {
  const lines: string[] = [];
  const registry = createRegistry();
  const metrics = createAuthorizerMetrics(registry);
  const port = await freePort();
  const server = createAdminServer({
    address: { kind: 'tcp', host: '127.0.0.1', port },
    registry,
    log: createLog({
      program: 'test',
      level: 'info',
      destination: { write: (line) => void lines.push(line) },
    }),
    readiness: () => readiness,
    status,
  });
  await server.start();
  onTestFinished(() => server.stop());
  return {
    metrics,
    lines,
    get: (path: string, method = 'GET') => fetch(`http://127.0.0.1:${port}${path}`, { method }),
  };
}

describe('the admin server', () => {
  it('answers /livez', async () => {
    const { get } = await startAdmin();
    expect((await get('/livez')).status).toBe(200);
  });

  it('answers /readyz with 200 or 503, and the state of each part', async () => {
    const up = await (await startAdmin()).get('/readyz');
    expect([up.status, await up.json()]).toEqual([200, { ready: true, parts: { keys: 'usable' } }]);
    const down = await (await startAdmin({ ready: false, parts: { keys: 'none' } })).get('/readyz');
    expect(down.status).toBe(503);
  });

  it('answers /metrics in the Prometheus text format', async () => {
    const { get, metrics } = await startAdmin();
    metrics.checks.inc({ decision: 'deny', reason: 'expired' });
    const text = await (await get('/metrics')).text();
    expect(text).toContain('curfew_checks_total{decision="deny",reason="expired"} 1');
  });

  it('answers /status to loopback', async () => {
    const { get } = await startAdmin();
    expect(await (await get('/status')).json()).toEqual({ ...build, state: 'live' });
  });

  it('refuses other paths and other methods', async () => {
    const { get } = await startAdmin();
    expect((await get('/../etc/passwd')).status).toBe(404);
    expect((await get('/livez', 'POST')).status).toBe(405);
  });

  it('answers a fault with 500 without details, and logs it', async () => {
    const { get, lines } = await startAdmin(ready, () => {
      throw new Fault('ERR_DATABASE', 'the database is gone');
    });
    const answer = await get('/status');
    expect([answer.status, await answer.text()]).toEqual([500, '{"error":"internal"}\n']);
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { msg: 'admin request failed', err: { code: 'ERR_DATABASE', message: 'the database is gone' } },
    ]);
  });
});
