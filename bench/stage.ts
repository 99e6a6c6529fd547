import { join } from 'node:path';
import { findRedis } from '../src/demo/programs.ts';
import { startAuthorizer, buildBundle, type RunningAuthorizer } from './authorizer.ts';
import { startEnvoy, type BenchEnvoy, type Guard } from './envoy.ts';
import { buildGoServers } from './go-servers.ts';
import { startLoadClient, type LoadClient } from './load/client.ts';
import type { ClientTlsFiles, Target } from './load/messages.ts';
import { writeBenchPki, type BenchPki } from './pki.ts';
import { freePorts, repository, startProgram, until, type RunningProgram } from './programs.ts';
import { createBenchLog } from './redis-log.ts';
import type { Settings } from './settings.ts';
import { algorithms, issuerOf, writeKeyFiles, writeTokenPool, type BenchAlgorithm } from './tokens.ts';

/** Something that is measured. */
export type Contender = {
  readonly name: string;
  readonly title: string;
  /**
   * The ports of equal Envoys. The placement of a process in memory can make it slower by a tenth for its
   * whole life, so each round uses the next Envoy.
   */
  readonly http: readonly { readonly target: Target; readonly envoy: RunningProgram }[];
  /** Its address for requests without Envoy; undefined for Envoy's own filters. */
  readonly grpc: Target | undefined;
  /** The server that decides; undefined if Envoy decides. */
  readonly server: RunningProgram | undefined;
  /** Another contender with something set differently. */
  readonly isVariant: boolean;
};

/** All processes of a run, with the function that stops them. */
export type Stage = {
  readonly folder: string;
  readonly settings: Settings;
  readonly load: LoadClient;
  readonly contenders: readonly Contender[];
  readonly authorizers: {
    readonly tcp: RunningAuthorizer;
    readonly unix: RunningAuthorizer;
    readonly noMetadata: RunningAuthorizer;
    readonly mtls: RunningAuthorizer;
  };
  readonly redisPort: number;
  readonly keyFiles: ReturnType<typeof writeKeyFiles>;
  stop(): Promise<void>;
};

type Server = {
  readonly name: string;
  readonly title: string;
  readonly listen: string;
  /** Asked directly alone, with the certificates of `writeBenchPki`. */
  readonly isTls?: boolean;
};

/** Builds and starts everything, and signs the tokens. */
export async function setStage(
  folder: string,
  settings: Settings,
  say: (line: string) => void,
): Promise<Stage> {
  const running: { stop(): Promise<void> | void }[] = [];
  const stop = async (): Promise<void> => {
    for (const program of running.toReversed()) await program.stop();
  };
  try {
    say('bundling the authorizer');
    buildBundle(folder);
    const go = buildGoServers(folder, say);
    say('signing tokens');
    const keyFiles = writeKeyFiles(folder);
    const load = startLoadClient();
    running.push(load);
    for (const pool of writePools(folder, settings)) await load.addPool(pool.name, pool.file);
    say('starting the contenders');
    const redisPort = await startRedis(folder, running);
    const log = await createBenchLog({
      port: redisPort,
      name: 'bench',
      issuers: algorithms.map(issuerOf),
      entries: 1,
    });
    running.push({ stop: log.close });
    const servers = new Map<string, RunningProgram>();
    const listens = await serverAddresses(folder, go !== undefined);
    const pki = writeBenchPki(folder);
    const authorizers = await startAuthorizers({ folder, listens, keyFiles, redisPort, running, pki });
    servers
      .set('curfew-tcp', authorizers.tcp)
      .set('curfew-unix', authorizers.unix)
      .set('curfew-no-metadata', authorizers.noMetadata)
      .set('curfew-mtls', authorizers.mtls);
    for (const server of listens) {
      if (servers.has(server.name)) continue;
      const program = startServer(server, folder, go, keyFiles.go, pki);
      running.push(program);
      servers.set(server.name, program);
    }
    const envoys: BenchEnvoy[] = [];
    for (let count = 1; count <= settings.envoys; count += 1) {
      const envoy = await startEnvoy(folder, `envoy-${count}`, guardsFor(listens));
      running.push(envoy.program);
      envoys.push(envoy);
    }
    return {
      folder,
      settings,
      load,
      contenders: contendersOf(listens, servers, envoys, pki),
      authorizers,
      redisPort,
      keyFiles,
      stop,
    };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

async function serverAddresses(folder: string, withGo: boolean): Promise<Server[]> {
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = await freePorts(5);
  const go: Server[] = [
    { name: 'go-tcp', title: 'minimal Go, always OK, TCP', listen: `127.0.0.1:${a}` },
    {
      name: 'go-unix',
      title: 'minimal Go, always OK, Unix socket',
      listen: `unix://${join(folder, 'go.sock')}`,
    },
    {
      name: 'go-jwt',
      title: 'Go with golang-jwt, Unix socket',
      listen: `unix://${join(folder, 'go-jwt.sock')}`,
    },
    { name: 'go-mtls', title: 'minimal Go, always OK, mutual TLS', listen: `127.0.0.1:${d}`, isTls: true },
  ];
  return [
    ...(withGo ? go : []),
    { name: 'grpc-js', title: 'grpc-js + proto-loader, always OK, TCP', listen: `127.0.0.1:${b}` },
    { name: 'curfew-tcp', title: 'Curfew, TCP', listen: `127.0.0.1:${c}` },
    { name: 'curfew-unix', title: 'Curfew, Unix socket', listen: `unix://${join(folder, 'curfew.sock')}` },
    {
      name: 'curfew-no-metadata',
      title: 'Curfew, Unix socket, no metadata',
      listen: `unix://${join(folder, 'no-metadata.sock')}`,
    },
    { name: 'curfew-mtls', title: 'Curfew, mutual TLS', listen: `127.0.0.1:${e}`, isTls: true },
  ];
}

async function startAuthorizers(options: {
  folder: string;
  listens: readonly Server[];
  keyFiles: { jwks: string; secret: string };
  redisPort: number;
  running: { stop(): Promise<void> | void }[];
  pki: BenchPki;
}): Promise<Stage['authorizers']> {
  const { folder, listens, keyFiles, redisPort, running, pki } = options;
  const start = async (name: string): Promise<RunningAuthorizer> => {
    const listen = listens.find((server) => server.name === name)?.listen ?? '';
    const metadata = name !== 'curfew-no-metadata';
    const authorizer = await startAuthorizer({
      name,
      folder,
      listen,
      keyFiles,
      redisPort,
      log: 'bench',
      metadata,
      tls: name === 'curfew-mtls' ? pki.server : undefined,
    });
    running.push(authorizer);
    return authorizer;
  };
  return {
    tcp: await start('curfew-tcp'),
    unix: await start('curfew-unix'),
    noMetadata: await start('curfew-no-metadata'),
    mtls: await start('curfew-mtls'),
  };
}

function startServer(
  { name, listen, isTls = false }: Server,
  folder: string,
  go: { alwaysOk: string; golangJwt: string } | undefined,
  goKeys: string,
  { server: { cert, key, clientCa } }: BenchPki,
): RunningProgram {
  if (name === 'grpc-js' || go === undefined) {
    const script = join(repository, 'bench', 'grpc-js-always-ok.ts');
    return startProgram({ name, command: process.execPath, args: [script, listen], folder });
  }
  const tls = isTls ? ['-cert', cert, '-key', key, '-client-ca', clientCa] : [];
  const at = ['-listen', listen.replace('unix://', 'unix:'), ...tls];
  return name === 'go-jwt'
    ? startProgram({ name, command: go.golangJwt, args: [...at, '-keys', goKeys], folder })
    : startProgram({ name, command: go.alwaysOk, args: at, folder });
}

async function startRedis(folder: string, running: { stop(): Promise<void> | void }[]): Promise<number> {
  const { command, args } = await findRedis({ announce: (line) => console.log(line) });
  const [port = 0] = await freePorts(1);
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const program = startProgram({ name: 'redis', command, args: [...args, ...settings], folder });
  running.push(program);
  await until(program, async () => program.tail().includes('Ready to accept connections'));
  return port;
}

function writePools(folder: string, { mode, hotTokens, coldTokens }: Settings) {
  const pools = algorithms.map((algorithm) =>
    writeTokenPool(folder, { name: `hot-${algorithm}`, algorithm, count: hotTokens }),
  );
  const cold = coldAlgorithms(mode).map((algorithm) =>
    writeTokenPool(folder, { name: `cold-${algorithm}`, algorithm, count: coldTokens }),
  );
  const forged = writeTokenPool(folder, { name: 'forged', algorithm: 'ES256', count: 2000, forged: true });
  return [...pools, ...cold, forged];
}

/** Signing 12,000 tokens with RS256 would take longer than the rest of a short run. */
export const coldAlgorithms = (mode: Settings['mode']): readonly BenchAlgorithm[] =>
  mode === 'full' ? algorithms : ['ES256', 'HS256'];

function guardsFor(all: readonly Server[]): ReadonlyMap<string, Guard> {
  const servers = all.filter(({ isTls }) => isTls !== true);
  const guards = new Map<string, Guard>([
    ['no-auth', { kind: 'none' }],
    ['jwt-authn', { kind: 'jwt_authn' }],
    ['jwt-authn-rbac', { kind: 'jwt_authn_and_rbac' }],
  ]);
  for (const { name, listen } of servers) guards.set(name, { kind: 'ext_authz', authorizer: listen });
  guards.set('jwt-authn-recommended', { kind: 'recommended_jwt_authn' });
  for (const { name, listen } of servers) {
    if (name === 'curfew-unix')
      guards.set(`${name}-filter`, { kind: 'recommended_filter', authorizer: listen });
    if (name === 'go-unix' || name === 'curfew-unix')
      guards.set(`${name}-recommended`, { kind: 'recommended', authorizer: listen });
  }
  return guards;
}

const suffixes = {
  '': '',
  '-filter': ', recommended filter',
  '-recommended': ', recommended listener',
} as const;

function contendersOf(
  listens: readonly Server[],
  servers: ReadonlyMap<string, RunningProgram>,
  envoys: readonly BenchEnvoy[],
  pki: BenchPki,
): Contender[] {
  const http = (name: string): Contender['http'] =>
    envoys.flatMap(({ program, ports }) => {
      const port = ports.get(name);
      return port === undefined ? [] : [{ target: { protocol: 'http', port }, envoy: program }];
    });
  const withServer = ({ name, title, listen, isTls }: Server, suffix: keyof typeof suffixes): Contender => ({
    name: `${name}${suffix}`,
    title: `${title}${suffixes[suffix]}`,
    http: http(`${name}${suffix}`),
    grpc: suffix === '' ? grpcTarget(listen, isTls === true ? pki.client : undefined) : undefined,
    server: servers.get(name),
    isVariant: suffix !== '' || name === 'curfew-no-metadata',
  });
  const withOthers = (suffix: keyof typeof suffixes): Contender[] =>
    listens
      .filter(
        ({ name, isTls }) =>
          (isTls === true && suffix === '') || envoys.some(({ ports }) => ports.has(`${name}${suffix}`)),
      )
      .map((server) => withServer(server, suffix));
  const own = (name: string, title: string): Contender => ({
    name,
    title,
    http: http(name),
    grpc: undefined,
    server: undefined,
    isVariant: name.startsWith('jwt-authn-'),
  });
  return [
    own('no-auth', 'Envoy, no auth'),
    own('jwt-authn', 'Envoy jwt_authn'),
    own('jwt-authn-rbac', 'Envoy jwt_authn with RBAC: all but revocation'),
    own('jwt-authn-recommended', 'Envoy jwt_authn, recommended listener'),
    ...withOthers(''),
    ...withOthers('-filter'),
    ...withOthers('-recommended'),
  ];
}

function grpcTarget(listen: string, tls: ClientTlsFiles | undefined): Target {
  if (listen.startsWith('unix://')) return { protocol: 'grpc', path: listen.slice('unix://'.length) };
  const port = Number(listen.slice(listen.lastIndexOf(':') + 1));
  return { protocol: 'grpc', port, ...(tls !== undefined && { tls }) };
}
