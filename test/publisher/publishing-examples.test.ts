import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOwnerlessLog } from '../../src/publisher/ownerless-log.ts';
import { openRedis } from '../../src/redis/connection.ts';
import { cacheDirectory, executablePath } from '../../src/demo/executables.ts';
import { repository } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { follow } from './following.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';

const run = promisify(execFile);
const issuer = 'https://id.example';
const script = join(repository, 'src', 'publisher', 'publish.lua');
const example = (name: string): string => join(repository, 'examples', name);

let server: RedisServer;

beforeAll(async () => {
  server = await startRedis();
  const client = await openRedis({ url: server.url }, { connectionName: 'test' });
  await createOwnerlessLog(client, {
    logName: 'curfew',
    issuers: [issuer],
    clockToleranceMs: 0,
    maxTokenLifetimeMs: 60_000,
  });
  client.disconnect();
});

afterAll(() => server.stop());

/** Runs an example on a session, and proves that a sidecar then refuses the session's tokens. */
async function refusesAfter(
  session: string,
  command: string,
  args: readonly string[],
  env = {},
): Promise<'refused'> {
  const follower = await follow(server.url, 'curfew', [issuer]);
  const issuedAt = Date.now() / 1000 + 2;
  const token = { session, issuedAt, expiresAt: issuedAt + 1 };
  expect(follower.evaluate(token)).toBe('clear');
  const { stdout } = await run(command, [...args, script, issuer, session], {
    env: { ...process.env, ...env },
  });
  expect(stdout).toMatch(/^\d+\n$/);
  await follower.untilRefused(token, 'session');

  const elsewhere = [...args, script, 'https://else.example', session];
  await expect(run(command, elsewhere, { env: { ...process.env, ...env } })).rejects.toMatchObject({
    stderr: expect.stringContaining('does not cover') as string,
  });
  return 'refused';
}

function didNotRun(why: string): 'did not run' {
  console.log(`an example did not run: ${why}`);
  return 'did not run';
}

async function inPython(): Promise<string> {
  const python = executablePath('python3');
  const packages = python === undefined ? undefined : await redisForPython(python);
  if (python === undefined || packages === undefined)
    return didNotRun('python3 with pip, or redis-py from its package index, is not to be had');
  const args = [example('python/revoke.py'), server.url];
  return refusesAfter('session-py-☃', python, args, { PYTHONPATH: packages });
}

async function inGo(): Promise<string> {
  const go = executablePath('go');
  if (go === undefined) return didNotRun('go is not on PATH');
  const program = join(temporaryDirectory(), 'revoke');
  // Everything it keeps goes into the one cache folder.
  const kept = join(cacheDirectory(), 'go');
  const places = {
    GOCACHE: join(kept, 'build'),
    GOPATH: join(kept, 'path'),
    XDG_CONFIG_HOME: join(kept, 'config'),
  };
  const env = { ...process.env, ...places, CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOWORK: 'off' };
  await run(go, ['build', '-o', program, example('go/revoke.go')], { env });
  return refusesAfter('session-go-☃', program, [`127.0.0.1:${server.port}`]);
}

describe('the examples for publishing from your own code', () => {
  const expected = process.env['CI'] === 'true' ? ['refused'] : ['refused', 'did not run'];

  it('refuse a session, from Python', { timeout: 180_000 }, async () => {
    expect(expected).toContain(await inPython());
  });

  // A machine's first Go build compiles the standard library.
  it('refuse a session, from Go', { timeout: 300_000 }, async () => {
    expect(expected).toContain(await inGo());
  });
});

/** A folder with redis-py: fetched once, by its pinned hash. Undefined if pip can't. */
async function redisForPython(python: string): Promise<string | undefined> {
  const folder = join(cacheDirectory(), 'python');
  const target = join(folder, 'redis-5.2.1');
  const imports = (): Promise<boolean> =>
    run(python, ['-c', 'import redis'], { env: { ...process.env, PYTHONPATH: target } }).then(
      () => true,
      () => false,
    );
  if (await imports()) return target;
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, '.fetch-'));
  const requirements = ['--require-hashes', '--requirement', example('python/requirements.txt')];
  const options = [
    '--quiet',
    '--disable-pip-version-check',
    '--no-cache-dir',
    '--only-binary=:all:',
    '--target',
    work,
  ];
  try {
    await run(python, ['-m', 'pip', 'install', ...options, ...requirements], { timeout: 120_000 });
    rmSync(target, { recursive: true, force: true });
    renameSync(work, target);
  } catch {
    rmSync(work, { recursive: true, force: true });
  }
  return (await imports()) ? target : undefined;
}
