import { spawnSync } from 'node:child_process';
import { envoyImage, image, imageNames, nodeImage, postgresImage, redisImage } from './docker.ts';

const docker = (...args: string[]) =>
  spawnSync('docker', args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });

/** Builds our images, and sees that those of others are here or can be pulled. */
export function setup(): void {
  if (docker('info').status !== 0)
    throw new Error('these tests need a Docker engine; `docker info` does not answer');
  for (const name of [redisImage, postgresImage, envoyImage, nodeImage]) {
    if (docker('image', 'inspect', name).status === 0) continue;
    console.log(`containers: pulling ${name}`);
    if (docker('pull', name).status !== 0) throw new Error(`the image ${name} is not to be had`);
  }
  for (const name of imageNames) {
    const started = performance.now();
    const { status, stderr, stdout } = docker('build', '--target', name, '--tag', image(name), '.');
    if (status !== 0)
      throw new Error(`docker build --target ${name} failed:\n${(stdout + stderr).slice(-4000)}`);
    console.log(`containers: built ${image(name)} in ${Math.round((performance.now() - started) / 1000)} s`);
  }
}
