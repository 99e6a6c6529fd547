import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import manifest from '../../package.json' with { type: 'json' };

const repository = join(import.meta.dirname, '..', '..');

export const { version } = manifest;
export const nodeImage = 'node:24-bookworm-slim';

const ourImages = ['authorizer', 'identity', 'relay', 'injector', 'redirect', 'cli'] as const;
const otherImages = [nodeImage, 'redis:7', 'postgres:15', 'envoyproxy/envoy:v1.40.0'];

/**
 * The command that brings images into the cluster; it gets their names as arguments (`kind load
 * docker-image`).
 */
export const loadCommand = (): string[] | undefined => process.env['CURFEW_LOAD_IMAGES']?.split(' ');

/**
 * Before all tests: builds our images and brings them into the cluster. Without a command to do so they have
 * to be there. Without a cluster nothing is done here: the tests that need one say so.
 */
export function setup(): void {
  const [command = '', ...args] = loadCommand() ?? [];
  if (command === '' || !isClusterThere()) return;
  const names = ourImages.map((name) => build(name));
  const started = performance.now();
  const loaded = spawnSync(command, [...args, ...names, ...otherImages], { encoding: 'utf8' });
  if (loaded.status !== 0) throw new Error(`images were not loaded:\n${loaded.stderr.slice(-3000)}`);
  say('the images were loaded', started);
}

export const isClusterThere = (): boolean =>
  spawnSync('kubectl', ['version'], { stdio: 'ignore' }).status === 0;

function build(name: (typeof ourImages)[number]): string {
  const started = performance.now();
  const tag = `curfew-${name}:${version}`;
  const args = ['build', '--quiet', '--target', name, '--tag', tag, '.'];
  const built = spawnSync('docker', args, { cwd: repository, encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`${name} does not build:\n${built.stderr.slice(-3000)}`);
  say(`${tag} was built`, started);
  return tag;
}

const say = (what: string, started: number): void =>
  console.log(`cluster: ${what} in ${Math.round((performance.now() - started) / 1000)} s`);
