import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { startEnvironment, startFlags } from '../src/runtime/v8-tuning.ts';
import {
  freePorts,
  isOk,
  repository,
  runToEnd,
  startProgram,
  until,
  type RunningProgram,
} from './programs.ts';
import { algorithms, audience, issuerOf } from './tokens.ts';

/** Environment of the authorizer's image. */
const imageEnvironment = { NODE_ENV: 'production', ...startEnvironment };

export type AuthorizerOptions = {
  readonly name: string;
  readonly folder: string;
  /** `unix:///path` or host:port. */
  readonly listen: string;
  readonly keyFiles: { readonly jwks: string; readonly secret: string };
  readonly redisPort: number;
  readonly log: string;
  /** Default: the bundle, as in the image. */
  readonly from?: 'bundle' | 'source';
  readonly extraFlags?: readonly string[];
  /** Default: those of the image. */
  readonly flags?: readonly string[];
  /** Beside the image's; undefined leaves out a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Folder of a bundle; default the one that `buildBundle` makes. */
  readonly bundle?: string;
  /** Default true, as in the product. */
  readonly metadata?: boolean;
  /** Default: no TLS. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa: string } | undefined;
};

export type RunningAuthorizer = RunningProgram & {
  readonly adminPort: number;
  /** From the start of the process until `/readyz` first answers 200; ms. */
  readonly readyMs: number;
  /** A counter or gauge of `/metrics`, summed over the series whose labels contain `labels`. */
  metric(name: string, labels?: string): Promise<number>;
};

const bundleFolder = (folder: string): string => join(folder, 'bundle');

/** Bundles the authorizer as for its image. @returns the folder of the bundle */
export function buildBundle(folder: string, without: readonly string[] = []): string {
  const script = join(repository, 'scripts', 'bundle.ts');
  const out = bundleFolder(folder);
  const left = without.flatMap((plugin) => ['--without', plugin]);
  runToEnd(process.execPath, [script, '--out', out, ...left, 'authorizer'], repository);
  return out;
}

/**
 * Starts an authorizer as its image does, with everything on: revocation, route policy, headers, metrics,
 * log.
 */
export async function startAuthorizer(options: AuthorizerOptions): Promise<RunningAuthorizer> {
  const { name, folder, from = 'bundle', extraFlags = [], flags = startFlags.authorizer, env } = options;
  const [adminPort = 0] = await freePorts(1);
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, stringify(configuration(options, adminPort)));
  const socket = options.listen.startsWith('unix://') ? options.listen.slice('unix://'.length) : undefined;
  if (socket !== undefined) rmSync(socket, { force: true });
  const bundles = options.bundle ?? bundleFolder(folder);
  const bundle = join(bundles, 'authorizer.mjs');
  if (from === 'bundle' && !existsSync(bundle)) throw new Error('the authorizer was not bundled');
  const startedMs = performance.now();
  const entry = from === 'bundle' ? [bundle] : [join(repository, 'src', 'programs', 'cli.ts'), 'authorizer'];
  const program = startProgram({
    name,
    folder,
    command: process.execPath,
    args: [...flags, ...extraFlags, ...entry, '--config', file],
    env: {
      ...imageEnvironment,
      ...(from === 'bundle' && { NODE_COMPILE_CACHE: join(bundles, 'compile-cache') }),
      ...env,
    },
  });
  await until(program, () => isOk(`http://127.0.0.1:${adminPort}/readyz`), { everyMs: 2, timeoutMs: 60_000 });
  const readyMs = performance.now() - startedMs;
  return {
    ...program,
    adminPort,
    readyMs,
    metric: (metric, labels) => readMetric(adminPort, metric, labels),
  };
}

function configuration(options: AuthorizerOptions, adminPort: number): Record<string, unknown> {
  const { keyFiles, redisPort, log, metadata = true, tls } = options;
  const issuers = algorithms.map((algorithm) => ({
    issuer: issuerOf(algorithm),
    audiences: [audience],
    algorithms: [algorithm],
    [algorithm === 'HS256' ? 'secret' : 'jwks']:
      algorithm === 'HS256' ? { file: keyFiles.secret, kid: 'key-HS256' } : { file: keyFiles.jwks },
    sessionClaim: 'grant_id',
    // Tokens are signed at the start of a run, and must not expire before its end.
    maxTokenLifetime: '2h',
  }));
  return {
    listen: options.listen,
    admin: `127.0.0.1:${adminPort}`,
    issuers,
    ...(tls !== undefined && { tls }),
    upstream: { metadata },
    revocation: { redis: { url: `redis://127.0.0.1:${redisPort}` }, log, maxEntries: 2_000_000 },
  };
}

async function readMetric(port: number, name: string, labels = ''): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  let sum = 0;
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
    if (line.includes(labels)) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}
