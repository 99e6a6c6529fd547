import { Agent, request } from 'node:http';
import { describe, expect, it } from 'vitest';
import { neverPrinted } from '../output.ts';
import { issueToken } from '../token/tokens.ts';
import { recommendedHealthChecks, startShared, type SharedAuthorizers } from './shared-authorizers.ts';

const clientCount = 16;
/** For machines on which a program takes many seconds to start. */
const patienceMs = 600_000;

/** Sends requests until `isOver`. @returns how many were sent, and what came instead of 200 */
async function load(
  url: string,
  isOver: (sent: number) => boolean,
): Promise<{ sent: number; failures: string[] }> {
  const token = issueToken({ lifetimeSeconds: 290 });
  neverPrinted(token);
  const headers = { authorization: `Bearer ${token}` };
  const agent = new Agent({ keepAlive: true, maxSockets: clientCount });
  let sent = 0;
  const failures: string[] = [];
  const client = async (): Promise<void> => {
    while (!isOver(sent)) {
      sent += 1;
      const answer = await statusOf(url, headers, agent);
      if (answer !== '200') failures.push(answer);
    }
  };
  await Promise.all(Array.from({ length: clientCount }, client));
  agent.destroy();
  return { sent, failures };
}

async function statusOf(url: string, headers: Record<string, string>, agent: Agent): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  request(url, { headers, agent }, (response) => {
    response.resume().on('end', () => resolve(String(response.statusCode)));
  })
    .on('error', (error) => resolve(error.message))
    .end();
  return promise;
}

/** Restarts all three, one after the other, while at least 5000 requests are sent. */
async function restartUnderLoad({ envoy, restart }: SharedAuthorizers): Promise<string[]> {
  let isRestarting = true;
  const loading = load(envoy.url('orders'), (sent) => sent >= 5000 && !isRestarting);
  for (const index of [0, 1, 2]) await restart(index);
  isRestarting = false;
  return (await loading).failures;
}

describe.each(['native', 'grpc-js'])(
  'behind three authorizers with the engine %s that are restarted',
  (engine) => {
    // A machine that is busy with the start of a program may take longer than the recommended second for a
    // check.
    const timeout = '60s';

    it(
      'no request fails where Envoy asks for their health',
      async () => {
        const { health_checks: checks } = recommendedHealthChecks();
        const often = { interval: '0.2s', no_traffic_interval: '0.2s', unhealthy_threshold: 1 };
        const cluster = { health_checks: (checks as object[]).map((one) => Object.assign(one, often)) };
        const settings = { engine, drainDelay: '2s' };
        expect(await restartUnderLoad(await startShared({ settings, cluster, timeout }))).toEqual([]);
      },
      patienceMs,
    );

    it(
      'no request fails where Envoy learns of the stop from its connections',
      async () => {
        const settings = { engine, drainDelay: '0s' };
        expect(await restartUnderLoad(await startShared({ settings, timeout }))).toEqual([]);
      },
      patienceMs,
    );
  },
);

it('behind three authorizers of which one is away no request fails', async () => {
  const { authorizers, envoy } = await startShared({});
  await authorizers[1]?.stop();
  const { failures } = await load(envoy.url('orders'), (sent) => sent >= 500);
  expect(failures).toEqual([]);
  expect(await envoy.stat('cluster.curfew_authorizer.upstream_rq_retry_success')).toBeGreaterThan(0);
});
