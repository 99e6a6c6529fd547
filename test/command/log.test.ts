import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Command } from '../../src/command/command.ts';
import { logCommand } from '../../src/command/log.ts';
import { revokeCommand } from '../../src/command/revoke.ts';
import { watchCommand } from '../../src/command/watch.ts';
import { openRedis } from '../../src/redis/connection.ts';
import { writeHead } from '../../src/revocation-log/head.ts';
import { logKeys, writeSentinel } from '../../src/revocation-log/keys.ts';
import { publishScript } from '../../src/publisher/ownerless-log.ts';
import { Fault } from '../../src/runtime/fault.ts';
import { neverPrinted } from '../output.ts';
import { eventually, repository, startCurfew, tail } from '../processes.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';
import { temporaryDirectory } from '../temporary.ts';

const password = 'the-redis-password-of-these-tests';
const issuer = 'https://id.example';
const other = 'https://other.example';

type Outcome = { exitCode: number; printed: string; warned: string };

/** Runs a command in this process, as the command line does. */
async function run(command: Command, args: readonly string[]): Promise<Outcome> {
  const outcome = { printed: '', warned: '' };
  const output = {
    print: (line: string) => void (outcome.printed += `${line}\n`),
    warn: (line: string) => void (outcome.warned += `${line}\n`),
  };
  try {
    return { exitCode: await command.run(args, output), ...outcome };
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    const exitCode = thrown.code === 'ERR_USAGE' ? 2 : 1;
    return { ...outcome, exitCode, warned: `${outcome.warned}${thrown.message}` };
  }
}

const commands: Record<string, Command> = { log: logCommand, revoke: revokeCommand, watch: watchCommand };

function curfew([name = '', ...args]: readonly string[]): Promise<Outcome> {
  const command = commands[name];
  if (command === undefined) throw new Error(`no such command: ${name}`);
  return run(command, args);
}

/** Runs it as a program of its own. */
async function program(args: readonly string[], environment: Record<string, string>): Promise<Outcome> {
  const env = { ...process.env, CURFEW__REVOCATION__REDIS__PASSWORD: undefined, ...environment };
  try {
    const { stdout, stderr } = await promisify(execFile)(join(repository, 'bin', 'curfew'), [...args], {
      env,
    });
    return { exitCode: 0, printed: stdout, warned: stderr };
  } catch (thrown) {
    const { code, stdout, stderr } = thrown as { code: number; stdout: string; stderr: string };
    return { exitCode: code, printed: stdout, warned: stderr };
  }
}

const withPassword = { CURFEW__REVOCATION__REDIS__PASSWORD: password };

let redis: RedisServer;
let target: string[];

beforeAll(async () => {
  neverPrinted(password);
  vi.stubEnv('CURFEW__REVOCATION__REDIS__PASSWORD', password);
  redis = await startRedis(['--requirepass', password]);
  target = ['--redis', redis.url];
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await redis.stop();
});

const create = (logName: string, ...args: string[]): Promise<Outcome> =>
  curfew(['log', 'create', ...target, '--log', logName, '--issuer', issuer, ...args]);

/** The authorizer's configuration for a log; its issuers have no keys yet, which is of no concern here. */
function authorizerFile(logName: string): string {
  const file = join(temporaryDirectory(), 'authorizer.yaml');
  writeFileSync(
    file,
    `issuers: [{ issuer: "${issuer}", audiences: any }, { issuer: "${other}", audiences: any }]
revocation: { redis: { url: "${redis.url}", password: ${password} }, log: ${logName} }
`,
  );
  return file;
}

async function ownersLog(logName: string): Promise<void> {
  const url = `redis://:${password}@127.0.0.1:${redis.port}`;
  const client = await openRedis({ url }, { connectionName: 'test' });
  const keys = logKeys(logName);
  const numbers = { epoch: 3, seq: 0, beat: 7, trimBelow: 1, retentionSeconds: 75 };
  await client.zadd(keys.log(3), 0, writeSentinel('acme', 3));
  await client.hset(keys.head, ...writeHead({ owner: 'acme', covers: [issuer], truth: 'owner', ...numbers }));
  client.disconnect();
}

describe('curfew log and curfew revoke --redis', () => {
  it('create a log, revoke on it, and show it', async () => {
    const made = await create('made', '--issuer', other, '--tolerance', '1s', '--max-token-lifetime', '10m');
    expect([made.exitCode, made.warned]).toEqual([0, '']);
    expect(made.printed).toContain(`log made created at 127.0.0.1:${redis.port} for ${issuer}, ${other}`);

    const revoke = (...args: string[]): Promise<Outcome> =>
      curfew(['revoke', ...args, ...target, '--log', 'made']);
    expect(await revoke('session', 'the-id-of-a-session')).toMatchObject({
      exitCode: 2,
      warned: expect.stringContaining(`--issuer is missing: expected one of ${issuer}, ${other}`) as string,
    });
    const one = await revoke('session', 'the-id-of-a-session', '--issuer', issuer);
    expect(one).toEqual({ exitCode: 0, printed: 'session the-id-o… revoked, seq 3, log made\n', warned: '' });
    const past = ['--issued-before', '2026-01-31T12:00:00Z', '--reason', 'stolen', '--json'];
    const all = await revoke('subject', 'ada', '--issuer', other, ...past);
    expect(JSON.parse(all.printed)).toEqual({ published: true, seq: 4, log: 'made' });

    const { printed } = await curfew(['log', 'show', ...target, '--log', 'made', '--limit', '2']);
    expect(printed).toMatch(/truth {6}redis: lost if Redis loses it/);
    expect(printed).toContain('retention  608 s');
    expect(printed).toContain(
      '4  subject ada  of https://other.example  at 2026-01-31T12:00:00.000Z  (stolen)',
    );
    expect(printed).toContain('3  session the-id-o…  of https://id.example');
    expect(printed).not.toContain('the-id-of-a-session');
    expect(printed).not.toContain('log_created');
    const machine = await curfew(['log', 'show', '--json', '--config', authorizerFile('made')]);
    expect(JSON.parse(machine.printed)).toMatchObject({
      log: 'made',
      truth: 'redis',
      seq: 4,
      isBeating: null,
      entries: [
        { seq: 4, event: { kind: 'subject', id: 'ada', reason: 'stolen' } },
        { seq: 3, event: { kind: 'session', id: 'the-id-of-a-session', reason: 'operator' } },
        { seq: 2, event: { kind: 'issuer', id: other, reason: 'log_created' } },
        { seq: 1, event: { kind: 'issuer', id: issuer } },
      ],
    });
  });

  it('do not change a log that exists, and name its owner', async () => {
    await create('twice');
    const again = await create('twice');
    expect([again.exitCode, again.printed]).toEqual([1, '']);
    expect(again.warned).toMatch(/^log twice exists already \(owner redis-\S+, truth redis\)/);
    expect(await create('twice', '--if-absent')).toMatchObject({
      exitCode: 0,
      printed: expect.stringContaining('exists already') as string,
    });
    const more = await create('twice', '--issuer', other, '--if-absent', '--json');
    expect([more.exitCode, JSON.parse(more.printed)]).toMatchObject([
      1,
      { created: false, uncovered: [other] },
    ]);
  });

  it("do not touch an owner's log, and show whether its owner is alive", async () => {
    await ownersLog('owned');
    const made = await create('owned');
    expect([made.exitCode, made.warned]).toEqual([1, expect.stringContaining('owner acme') as string]);
    const revoked = await curfew(['revoke', 'session', 'some-session', ...target, '--log', 'owned']);
    expect(revoked).toMatchObject({
      exitCode: 1,
      warned: expect.stringContaining('belongs to owner acme: use --config') as string,
    });
    const { exitCode, printed } = await curfew(['log', 'show', ...target, '--log', 'owned']);
    expect(exitCode).toBe(0);
    expect(printed).toMatch(/heartbeat {2}7, no other within 2500 ms/);
  });

  it('report that the entries of a log are lost, and create it again', async () => {
    await create('lost');
    const client = await openRedis(
      { url: `redis://:${password}@127.0.0.1:${redis.port}` },
      { connectionName: 'test' },
    );
    await client.del(logKeys('lost').log(1));
    client.disconnect();
    const shown = await curfew(['log', 'show', ...target, '--log', 'lost']);
    expect(shown).toMatchObject({
      exitCode: 1,
      warned: 'its entries are lost: run curfew log create\n',
    });
    expect((await create('lost', '--if-absent')).exitCode).toBe(0);
    expect((await curfew(['log', 'show', ...target, '--log', 'lost'])).printed).toContain('epoch      2');
  });

  it.each([
    ['log', 'show'],
    ['revoke', 'session', 'some-session'],
  ])('distinguish an absent log from an empty one: %s', async (...args) => {
    const { exitCode, warned } = await curfew([...args, ...target, '--log', 'absent']);
    expect(exitCode).toBe(1);
    expect(warned).toContain(
      `no revocation log "absent" at 127.0.0.1:${redis.port}: start identity or relay, or run curfew log create`,
    );
  });

  it(
    'take the password from the URL or the environment, and print it nowhere',
    { timeout: 60_000 },
    async () => {
      const url = `redis://:${password}@127.0.0.1:${redis.port}`;
      const bad = `redis://:${password}x@127.0.0.1:${redis.port}`;
      const outcomes = await Promise.all([
        program(['log', 'create', '--redis', url, '--log', 'by-url', '--issuer', issuer], {}),
        program(['log', 'show', '--redis', redis.url, '--log', 'twice'], withPassword),
        program(['log', 'show', '--redis', `http://:${password}@127.0.0.1`], {}),
        program(['revoke', 'session', 'some-session', '--redis', bad], {}),
        program(['watch', '--redis', redis.url], {}),
      ]);
      expect(outcomes.map(({ exitCode }) => exitCode)).toEqual([0, 0, 2, 1, 1]);
      expect(JSON.stringify(outcomes)).not.toContain(password);
    },
  );

  it('print the script as it is in the sources', async () => {
    expect((await curfew(['log', 'script'])).printed).toBe(publishScript);
  });

  it.each([
    [['log', 'burn'], 'expected one of create, show, script'],
    [['log', 'show'], '--redis or --config is missing'],
    [['log', 'create', '--redis', 'redis://127.0.0.1'], '--issuer is missing'],
    [['log', 'create', '--redis', 'redis://127.0.0.1', '--issuer', 'x', '--tolerance', '2m'], '--tolerance'],
    [['log', 'show', '--redis', 'redis://127.0.0.1', '--log', '{x}'], '--log must be'],
    [['log', 'show', '--redis', 'redis://127.0.0.1', '--limit', 'all'], '--limit must be'],
    [['watch', '--redis', 'redis://127.0.0.1', '--config', 'x.yaml'], 'not both'],
    [['watch', '--config', 'x.yaml', '--log', 'curfew'], '--log requires --redis'],
  ])('refuse wrong usage: %j', async (args, message) => {
    const { exitCode, warned } = await curfew(args);
    expect([exitCode, warned]).toEqual([2, expect.stringContaining(message) as string]);
  });
});

describe('curfew watch', () => {
  const watch = (...args: string[]) => {
    const watcher = startCurfew('watch', ['watch', ...args], withPassword);
    onTestFinished(async () => void (await watcher.stop()));
    const until = (text: string | RegExp): Promise<true> =>
      eventually(
        `it prints ${text}; it has printed ${tail(watcher.printed())}`,
        () =>
          (typeof text === 'string' ? watcher.printed().includes(text) : text.test(watcher.printed()))
            ? true
            : undefined,
        20_000,
      );
    return { watcher, until };
  };

  it(
    'waits for a log, shows its state and each event as it comes, and ends with 0',
    { timeout: 60_000 },
    async () => {
      const { watcher, until } = watch(...target, '--log', 'watched');
      await until('no revocation log "watched"');
      await create('watched');
      await until(/live: log "watched", owner redis-\S+, truth redis, epoch 1, covers https:\/\/id\.example/);
      await until(/1 {2}everything {2}of https:\/\/id\.example .*\(log_created\) {2}\[log\]/);
      await curfew(['revoke', 'session', 'the-id-of-a-session', ...target, '--log', 'watched']);
      await until(/2 {2}session the-id-o… {2}of https:\/\/id\.example .*\(operator\)\n/);
      expect(watcher.printed()).not.toContain('the-id-of-a-session');
      expect(await watcher.stop('SIGINT')).toBe(0);
    },
  );

  it("follows an authorizer's log by its configuration, for machines too", { timeout: 60_000 }, async () => {
    await create('configured');
    const { watcher, until } = watch('--config', authorizerFile('configured'), '--json');
    await until(`"uncovered":["${other}"]`);
    await curfew(['revoke', 'token', 'some-token', ...target, '--log', 'configured']);
    await until('"kind":"token"');
    const lines = watcher.printed().trim().split('\n');
    const observed = lines.map((line) => JSON.parse(line) as { kind: string; event?: unknown });
    // By message, or by a read of the log that happened to come first.
    expect(observed.findLast(({ kind }) => kind === 'event')).toMatchObject({
      via: expect.stringMatching(/^(message|log)$/) as string,
      seq: 2,
      event: { iss: issuer, kind: 'token', id: 'some-token', reason: 'operator' },
    });
    expect(await watcher.stop('SIGINT')).toBe(0);
  });
});
