import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findEnvoy } from '../../src/demo/programs.ts';
import { envoyConfig } from '../../src/injection/envoy-config.ts';
import type { EnvoyConfigOptions, EnvoyObject } from '../../src/injection/envoy-options.ts';
import { eventually, startProgram, tail } from '../processes.ts';

export type RunningEnvoy = {
  /** Address of a listener, by the name of its service, as `http://127.0.0.1:port`. */
  url(name: string): string;
  port(name: string): number;
  /** The access log so far, one object a request. */
  accessLog(): Record<string, unknown>[];
  /** A counter or gauge of Envoy's. */
  stat(name: string): Promise<number>;
  /** What a path of its administration answers. */
  admin(path: string): Promise<string>;
  stop(): Promise<void>;
};

const quick = { '--concurrency': '1', '--log-level': 'warning', '--file-flush-interval-msec': '20' };

type Listeners = {
  listener_statuses: { name: string; local_address: { socket_address: { port_value: number } } }[];
};

/** Starts a real Envoy with the recommended configuration. Port 0 is a free port. */
export const startEnvoy = (options: EnvoyConfigOptions): Promise<RunningEnvoy> =>
  startEnvoyWith(envoyConfig({ admin: { host: '127.0.0.1', port: 0 }, ...options }));

/**
 * Starts a real Envoy with any configuration that has an admin address, and waits until its listeners listen.
 * @param config text is YAML, which Envoy reads with a parser of its own
 */
export async function startEnvoyWith(config: EnvoyObject | string): Promise<RunningEnvoy> {
  const folder = mkdtempSync(join(tmpdir(), 'curfew-envoy-'));
  const program = await findEnvoy({ sharedDirectory: folder });
  const isText = typeof config === 'string';
  const configFile = join(folder, isText ? 'envoy.yaml' : 'envoy.json');
  const adminFile = join(folder, 'admin');
  writeFileSync(configFile, isText ? config : JSON.stringify(config));
  const options = { '--config-path': configFile, '--admin-address-path': adminFile, ...quick };
  const args = [...program.args, '--disable-hot-restart', ...Object.entries(options).flat()];
  const running = startProgram('envoy', program.command, args);
  const ended = running.exited.then((code) => {
    throw new Error(`envoy ended with ${code}:\n${tail(running.printed())}`);
  });
  ended.catch(() => {});

  async function admin(path: string): Promise<string> {
    const response = await fetch(`http://${readFileSync(adminFile, 'utf8')}${path}`);
    if (!response.ok) throw new Error(`envoy's ${path} answers ${response.status}`);
    return response.text();
  }

  async function listeners(): Promise<Map<string, number> | undefined> {
    const ready = await admin('/ready').catch(() => '');
    if (!ready.startsWith('LIVE')) return undefined;
    const { listener_statuses: statuses } = JSON.parse(await admin('/listeners?format=json')) as Listeners;
    return new Map(statuses.map((status) => [status.name, status.local_address.socket_address.port_value]));
  }

  const ports = await Promise.race([eventually('envoy is live', listeners, 20_000), ended]);
  const port = (name: string): number => ports.get(name) ?? 0;

  return {
    port,
    admin,
    url: (name) => `http://127.0.0.1:${port(name)}`,
    accessLog: () =>
      running
        .printed()
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    stat: async (name) => {
      const text = await admin(`/stats?filter=^${name.replaceAll('.', '\\.')}$`);
      return Number(/: (\d+)/.exec(text)?.[1] ?? 0);
    },
    stop: async () => {
      await running.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
