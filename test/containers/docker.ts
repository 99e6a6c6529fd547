import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Programs of ours that have an image; `redirect` is nftables. */
export const imageNames = ['authorizer', 'identity', 'relay', 'injector', 'cli', 'redirect'] as const;
export type ImageName = (typeof imageNames)[number];

export const image = (name: ImageName): string => `curfew-${name}:test`;
export const redisImage = 'redis:7';
export const postgresImage = 'postgres:15';
export const envoyImage = 'envoyproxy/envoy:v1.40.0';
export const nodeImage = 'node:24-bookworm-slim';

/**
 * On everything that a run leaves in the engine while it lasts; its value is the process that runs the tests.
 */
export const runLabel = 'curfew.test-run';
const runVariable = 'CURFEW_CONTAINER_RUN';

export const runName = (): string => process.env[runVariable] ?? 'alone';

/** Names the run for the processes that are started from here on. */
export function nameRun(name: string): void {
  process.env[runVariable] = name;
}

/** Runs `docker` and returns what it printed; a failure holds its error output. */
export async function docker(...args: readonly string[]): Promise<string> {
  const { stdout } = await run('docker', args, { maxBuffer: 64 * 1024 * 1024, encoding: 'utf8' });
  return stdout.trim();
}

/** How Compose is called here: version 2, or 1.29 as Debian has it; undefined when there is neither. */
export const composeCommand = (): readonly string[] | undefined =>
  [['docker', 'compose'], ['docker-compose']].find(
    ([command = '', ...args]) => spawnSync(command, [...args, 'version']).status === 0,
  );

/** The status of an answer; undefined when there is none. */
export async function statusOf(
  url: string,
  headers: Record<string, string> = {},
): Promise<number | undefined> {
  try {
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(2000) });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return undefined;
  }
}
