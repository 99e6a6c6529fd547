import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheDirectory } from './executables.ts';
import { Fault } from '../runtime/fault.ts';
import { lastLines, startChild, untilReady, type Child } from './child.ts';
import { demoFiles, type DemoPlan } from './files.ts';
import { freePort, requirePort } from './ports.ts';
import { findEnvoy, findRedis, type Program } from './programs.ts';
import { printWelcome } from './welcome.ts';
import { walk } from './walk.ts';

export type DemoOptions = {
  /** Play the walk-through and end, instead of running until Ctrl-C. */
  walk: boolean;
  /** Where Envoy listens. */
  port: number;
  identityPort: number;
  print(line: string): void;
};

const root = fileURLToPath(new URL('../..', import.meta.url));
const launcher = join(root, 'bin', 'curfew');

/**
 * Runs everything on this machine: Redis, identity, authorizer, Envoy and a resource service.
 * @returns the exit code: 0 after Ctrl-C, or after a walk-through whose steps all passed; else 1
 * @throws ERR_ADDRESS_IN_USE, ERR_PROGRAM_UNAVAILABLE
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  const { print } = options;
  const plan = await makePlan(options);
  const children: Child[] = [];
  const signalled = firstSignal();
  const started = startAll(plan, children, print);
  try {
    if ((await Promise.race([signalled, started.then(() => 'started' as const)])) === 'signal') return 0;
    if (options.walk) return await Promise.race([signalled.then(() => 1), playWalk(plan, children, print)]);
    printWelcome(plan, children, print);
    const end = await Promise.race([signalled, ...children.map((child) => child.ended.then(() => child))]);
    if (end === 'signal') return 0;
    print(`demo: ${end.name} ended by itself:\n${lastLines(end)}`);
    return 1;
  } finally {
    plan.isEnding = true;
    await stopAll(children, print);
    // The signal may have come while a program was being started.
    await started.catch(() => undefined);
    await stopAll(children, print);
    rmSync(plan.directory, { recursive: true, force: true });
  }
}

async function playWalk(
  plan: DemoPlan,
  children: readonly Child[],
  print: (line: string) => void,
): Promise<number> {
  const hasPassed = await walk({ ...plan, resource: plan.resourceUrl, identity: plan.identityUrl, print });
  if (hasPassed) return 0;
  for (const child of children) print(`\nThe last of ${child.name}'s output:\n${lastLines(child)}`);
  return 1;
}

function firstSignal(): Promise<'signal'> {
  const { promise, resolve } = Promise.withResolvers<'signal'>();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => resolve('signal'));
  return promise;
}

async function makePlan(options: DemoOptions): Promise<DemoPlan> {
  const port = await requirePort(options.port, '--port', 'Envoy');
  const identityPort = await requirePort(options.identityPort, '--identity-port', 'identity');
  mkdirSync(join(root, '.cache'), { recursive: true });
  const directory = mkdtempSync(join(root, '.cache', 'demo-'));
  options.print(
    `demo: this run's files are in ${directory}; fetched programs are kept in ${cacheDirectory()}`,
  );
  return {
    directory,
    isEnding: false,
    resourceUrl: `http://localhost:${port}`,
    identityUrl: `http://localhost:${identityPort}`,
    clientId: 'cli',
    username: 'demo',
    password: 'only-for-the-demo',
    ports: {
      envoy: port,
      identity: identityPort,
      redis: await freePort(),
      service: await freePort(),
      authorizer: await freePort(),
      authorizerAdmin: await freePort(),
      identityAdmin: await freePort(),
      envoyAdmin: await freePort(),
    },
  };
}

async function startAll(plan: DemoPlan, children: Child[], print: (line: string) => void): Promise<void> {
  const { directory } = plan;
  const find = { announce: (line: string) => print(`demo: ${line}`), sharedDirectory: directory };
  const [redis, envoy] = [await findRedis(find), await findEnvoy(find)];
  print(`demo: using ${redis.describe} and ${envoy.describe}`);
  for (const [name, text] of Object.entries(demoFiles(plan))) {
    writeFileSync(join(directory, name), text, { mode: 0o600 });
  }
  await addUser(plan, children);
  for (const { name, program, isReady } of programsInOrder(plan, redis, envoy)) {
    if (plan.isEnding) throw new Fault('ERR_PROGRAM_UNAVAILABLE', 'the demo is ending');
    const child = startChild({ name, ...program, directory });
    children.push(child);
    await untilReady(child, isReady);
    print(`demo: ${name} is ready`);
  }
}

type DemoProgram = {
  name: string;
  program: { command: string; args: string[] };
  isReady: () => Promise<boolean>;
};

function programsInOrder({ directory, ports }: DemoPlan, redis: Program, envoy: Program): DemoProgram[] {
  const curfew = (name: string) => ({ command: launcher, args: [name, '--config', `${name}.yaml`] });
  const service = fileURLToPath(new URL('resource-service.ts', import.meta.url));
  const redisOptions = {
    port: ports.redis,
    bind: '127.0.0.1',
    save: '',
    appendonly: 'no',
    dir: directory,
    'maxmemory-policy': 'noeviction',
  };
  const redisArgs = Object.entries(redisOptions).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const envoyArgs = [
    '--config-path',
    join(directory, 'envoy.json'),
    '--concurrency',
    '1',
    '--disable-hot-restart',
  ];
  return [
    {
      name: 'redis',
      program: { ...redis, args: [...redis.args, ...redisArgs] },
      isReady: () => answersTcp(ports.redis),
    },
    {
      name: 'identity',
      program: curfew('identity'),
      isReady: () => answers(ports.identityAdmin, '/readyz', 200),
    },
    {
      name: 'authorizer',
      program: curfew('authorizer'),
      isReady: () => answers(ports.authorizerAdmin, '/readyz', 200),
    },
    {
      name: 'service',
      program: { command: process.execPath, args: [service, String(ports.service)] },
      isReady: () => answersTcp(ports.service),
    },
    {
      name: 'envoy',
      program: { ...envoy, args: [...envoy.args, ...envoyArgs, '--log-level', 'warning'] },
      isReady: () => answers(ports.envoy, '/orders', 401),
    },
  ];
}

async function addUser(plan: DemoPlan, children: Child[]): Promise<void> {
  const args = ['user', 'add', plan.username, '--config', 'identity.yaml'];
  const child = startChild({
    name: 'user-add',
    command: launcher,
    args,
    directory: plan.directory,
    input: `${plan.password}\n`,
  });
  children.push(child);
  const exitCode = await child.ended;
  children.pop();
  if (exitCode !== 0)
    throw new Fault(
      'ERR_PROGRAM_UNAVAILABLE',
      `the user "${plan.username}" could not be added:\n${lastLines(child)}`,
    );
}

async function stopAll(children: Child[], print: (line: string) => void): Promise<void> {
  const wasRunning = children.length > 0;
  for (let child = children.pop(); child !== undefined; child = children.pop()) await child.stop();
  if (wasRunning) print('demo: all programs are stopped');
}

async function answers(port: number, path: string, status: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(1000) });
  await response.arrayBuffer();
  return response.status === status;
}

async function answersTcp(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, '127.0.0.1', () => resolve(true));
  socket.once('error', () => resolve(false));
  const answered = await promise;
  socket.destroy();
  return answered;
}
