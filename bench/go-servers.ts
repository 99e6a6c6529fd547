import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { repository, runToEnd } from './programs.ts';

/**
 * Builds the Go contenders. The first build downloads their packages from the Go module proxy.
 * @returns undefined without Go, or without access to the packages; a run then has no Go contenders
 */
export function buildGoServers(
  folder: string,
  say: (line: string) => void,
): { alwaysOk: string; golangJwt: string } | undefined {
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0) {
    say('no `go` on PATH: the Go contenders are left out');
    return undefined;
  }
  say('building the Go contenders (a minute the first time)');
  const out = join(folder, 'go');
  try {
    runToEnd(
      'go',
      ['build', '-o', `${out}/`, './always_ok', './golang_jwt'],
      join(repository, 'bench', 'go'),
    );
  } catch (thrown) {
    say(`the Go contenders could not be built and are left out: ${String(thrown).slice(0, 400)}`);
    return undefined;
  }
  return { alwaysOk: join(out, 'always_ok'), golangJwt: join(out, 'golang_jwt') };
}
