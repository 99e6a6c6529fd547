import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { onTestFinished } from 'vitest';
import { executablePath } from '../../src/demo/executables.ts';
import { canInstall, install } from '../debian.ts';
import { eventually, freePort, startProgram, tail, type RunningProgram } from '../processes.ts';

/** A PgBouncer in transaction mode: each transaction gets whichever connection to the server is free. */
export type PgBouncer = {
  /** The URL of a database, through it. */
  through(url: string): string;
  kill(): Promise<void>;
  start(): Promise<void>;
};

/** The path of PgBouncer, which is installed on Debian as root if necessary; undefined if there is none. */
export async function findPgBouncer(): Promise<string | undefined> {
  const found = executablePath('pgbouncer') ?? executablePath('/usr/sbin/pgbouncer');
  if (found !== undefined || !canInstall()) return found;
  await install(['pgbouncer']);
  return executablePath('pgbouncer') ?? executablePath('/usr/sbin/pgbouncer');
}

// It refuses to run as root.
const nobody = process.getuid?.() === 0 ? ['--user=nobody'] : [];

export async function startPgBouncer(path: string, postgresPort: number): Promise<PgBouncer> {
  const directory = mkdtempSync(join(tmpdir(), 'curfew-pgbouncer-'));
  chmodSync(directory, 0o755);
  const port = await freePort();
  const file = join(directory, 'pgbouncer.ini');
  // Fewer connections to the server than the owners open to it: they have to share.
  writeFileSync(
    file,
    `[databases]
* = host=127.0.0.1 port=${postgresPort} user=curfew
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
server_login_retry = 1
`,
  );
  let program: RunningProgram;
  const start = async (): Promise<void> => {
    program = startProgram('pgbouncer', path, [...nobody, file]);
    await eventually(`pgbouncer answers: ${tail(program.printed())}`, () =>
      canConnect(`postgres://curfew@127.0.0.1:${port}/postgres`),
    );
  };
  await start();
  onTestFinished(async () => {
    await program.stop('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    through: (url) => url.replace(`:${postgresPort}/`, `:${port}/`),
    start,
    kill: async () => {
      await program.stop('SIGKILL');
    },
  };
}

async function canConnect(connectionString: string): Promise<true | undefined> {
  const client = new pg.Client({ connectionString });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return undefined;
  } finally {
    await client.end();
  }
}
