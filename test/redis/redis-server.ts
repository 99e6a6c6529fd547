import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findRedis } from '../../src/demo/programs.ts';
import { eventually, freePort, startProgram, tail, type RunningProgram } from '../processes.ts';

/** A Redis process on a free port, in a temporary folder. */
export type RedisServer = {
  readonly port: number;
  readonly url: string;
  readonly pid: () => number;
  /** Sends one command over a new connection. @returns the raw reply */
  command(...words: readonly string[]): Promise<string>;
  /** Stops the process with a signal and waits for its end. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port, in the same folder. */
  start(): Promise<void>;
  /** Freezes the process: connections stay open and nothing answers. */
  freeze(): void;
  thaw(): void;
  /** Stops it and removes its folder. */
  stop(): Promise<void>;
};

/** Starts a Redis. @param args settings as on its command line, such as `--appendonly yes` */
export async function startRedis(args: readonly string[] = []): Promise<RedisServer> {
  const found = await findRedis();
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), 'curfew-redis-'));
  let program: RunningProgram | undefined;

  async function start(): Promise<void> {
    const own = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', ''];
    const running = startProgram('redis', found.command, [...found.args, ...own, ...args]);
    program = running;
    await eventually(`redis-server answers: ${tail(running.printed())}`, () =>
      send(port, ['PING']).then(
        (reply) => (reply.startsWith('+PONG') || reply.startsWith('-NOAUTH') ? true : undefined),
        () => undefined,
      ),
    );
  }

  async function kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await program?.stop(signal);
    program = undefined;
  }

  await start();
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    pid: () => program?.pid ?? -1,
    command: (...words) => send(port, words),
    kill,
    start,
    freeze: () => program?.child.kill('SIGSTOP'),
    thaw: () => program?.child.kill('SIGCONT'),
    stop: async () => {
      program?.child.kill('SIGCONT');
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function send(port: number, words: readonly string[]): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = createConnection({ port, host: '127.0.0.1' });
  let reply = '';
  socket.setTimeout(2000, () => socket.destroy(new Error('no reply from Redis')));
  socket.on('error', reject);
  socket.on('data', (chunk: Buffer) => {
    reply += chunk.toString();
    if (reply.endsWith('\r\n')) socket.end();
  });
  socket.on('close', () => resolve(reply));
  socket.write(
    `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`,
  );
  return promise;
}
