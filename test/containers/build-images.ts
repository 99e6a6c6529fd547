import { spawnSync } from 'node:child_process';
import {
  composeCommand,
  envoyImage,
  image,
  imageNames,
  nameRun,
  nodeImage,
  postgresImage,
  redisImage,
  runLabel,
} from './docker.ts';

const docker = (...args: string[]) =>
  spawnSync('docker', args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });

/** Builds our images, and sees that those of others are here or can be pulled. */
export function setup(): void {
  if (docker('info').status !== 0)
    throw new Error('these tests need a Docker engine; `docker info` does not answer');
  if (composeCommand() === undefined)
    console.log(
      'containers: Compose is not installed (docker-compose-plugin, or docker-compose); compose.yaml is not run',
    );
  nameRun(String(process.pid));
  removeDeadRuns();
  for (const name of [redisImage, postgresImage, envoyImage, nodeImage]) {
    if (docker('image', 'inspect', name).status === 0) continue;
    console.log(`containers: pulling ${name}`);
    if (docker('pull', name).status !== 0) throw new Error(`the image ${name} is not available`);
  }
  for (const name of imageNames) {
    const started = performance.now();
    const { status, stderr, stdout } = docker('build', '--target', name, '--tag', image(name), '.');
    if (status !== 0)
      throw new Error(`docker build --target ${name} failed:\n${(stdout + stderr).slice(-4000)}`);
    console.log(`containers: built ${image(name)} in ${Math.round((performance.now() - started) / 1000)} s`);
  }
}

/** Whatever a test that failed, or was ended, has left behind. */
export function teardown(): void {
  removeRun(String(process.pid));
}

/** What runs have left that were killed before their end. */
function removeDeadRuns(): void {
  const format = `{{ index .Config.Labels "${runLabel}" }}`;
  const containers = listed('container', runLabel);
  const runs = containers.map((id) => docker('inspect', '--format', format, id).stdout.trim());
  for (const run of new Set(runs)) if (!isAlive(Number(run))) removeRun(run);
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return true;
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function removeRun(run: string): void {
  const label = `${runLabel}=${run}`;
  const containers = listed('container', label);
  if (containers.length > 0) docker('rm', '--force', '--volumes', ...containers);
  for (const kind of ['network', 'volume']) {
    const left = listed(kind, label);
    if (left.length > 0) docker(kind, 'rm', ...left);
  }
}

function listed(kind: string, label: string): string[] {
  const all = kind === 'container' ? ['--all'] : [];
  return docker(kind, 'ls', ...all, '--quiet', '--filter', `label=${label}`)
    .stdout.split('\n')
    .filter((id) => id !== '');
}
