import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { envoyConfig } from '../../src/injection/envoy-config.ts';
import type { EnvoyObject } from '../../src/injection/envoy-options.ts';
import { startEchoService } from '../envoy/echo-service.ts';
import { startEnvoyWith, type RunningEnvoy } from '../envoy/envoy-process.ts';
import { freePort, repository } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { fileIssuer, startAuthorizer, untilReady, type AuthorizerProgram } from './authorizer-program.ts';

/** Three authorizers behind one Envoy. */
export type SharedAuthorizers = {
  readonly authorizers: readonly AuthorizerProgram[];
  readonly envoy: RunningEnvoy;
  /** Stops one and starts it again at the same address. Resolves when it is ready. */
  restart(index: number): Promise<void>;
};

export type SharedOptions = {
  /** Of the authorizers. */
  readonly settings?: Record<string, unknown>;
  /** Of the authorizers' cluster. */
  readonly cluster?: EnvoyObject;
  /** Of a check; by default the recommended one. */
  readonly timeout?: string;
};

export async function startShared(options: SharedOptions): Promise<SharedAuthorizers> {
  const folder = temporaryDirectory();
  const ports = [await freePort(), await freePort(), await freePort()];
  const start = async (index: number): Promise<AuthorizerProgram> => {
    const listen = `127.0.0.1:${ports[index]}`;
    const settings = { issuers: [fileIssuer(folder)], listen, log: { level: 'info' }, ...options.settings };
    const authorizer = await startAuthorizer(folder, settings, `authorizer-${index}`);
    await untilReady(authorizer);
    return authorizer;
  };
  const authorizers = await Promise.all(ports.map((_, index) => start(index)));
  onTestFinished(async () => void (await Promise.all(authorizers.map((one) => one.stop()))));
  const echo = await startEchoService();
  onTestFinished(echo.stop);
  const envoy = await startEnvoyWith(configFor(ports, echo.port, options));
  onTestFinished(envoy.stop);
  return {
    authorizers,
    envoy,
    restart: async (index) => {
      expect(await authorizers[index]?.stop()).toBe(0);
      authorizers[index] = await start(index);
    },
  };
}

/** The cluster settings that docs/envoy.md recommends for a shared authorizer. */
export function recommendedHealthChecks(): EnvoyObject {
  const page = readFileSync(join(repository, 'docs', 'envoy.md'), 'utf8');
  const block = /```yaml shared authorizer\n(.*?)```/s.exec(page)?.[1] ?? '';
  return parse(block) as EnvoyObject;
}

/** The recommended configuration with every authorizer in the authorizers' cluster. */
function configFor(ports: readonly number[], upstreamPort: number, options: SharedOptions): EnvoyObject {
  const [port = 0] = ports;
  const host = '127.0.0.1';
  const config = envoyConfig({
    admin: { host, port: 0 },
    authorizer: { kind: 'tcp', host, port },
    services: [
      {
        name: 'orders',
        listen: { host, port: 0 },
        upstream: { host, port: upstreamPort, protocol: 'http1' },
      },
    ],
  });
  const { clusters, ...rest } = withTimeout(config['static_resources'], options.timeout);
  const endpoint = (port_value: number): EnvoyObject => ({
    endpoint: { address: { socket_address: { address: host, port_value } } },
  });
  const shared = (cluster: EnvoyObject): EnvoyObject => ({
    ...cluster,
    ...options.cluster,
    load_assignment: {
      cluster_name: cluster['name'],
      endpoints: [{ lb_endpoints: ports.map(endpoint) }],
    },
  });
  const isShared = ({ name }: EnvoyObject): boolean => name === 'curfew_authorizer';
  const all = clusters.map((cluster) => (isShared(cluster) ? shared(cluster) : cluster));
  return { ...config, static_resources: { ...rest, clusters: all } };
}

function withTimeout(resources: unknown, timeout = '1s'): { clusters: EnvoyObject[] } {
  const text = JSON.stringify(resources).replaceAll(
    /"(timeout|max_interval)":"1s"/g,
    (_, name: string) => `"${name}":"${timeout}"`,
  );
  return JSON.parse(text) as { clusters: EnvoyObject[] };
}
