import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { findRedis } from '../../src/demo/programs.ts';
import { startFlags } from '../../src/runtime/v8-tuning.ts';
import { readCpuTime, readMemory } from '../accounting.ts';
import { buildBundle, startAuthorizer, type RunningAuthorizer } from '../authorizer.ts';
import { startLoadClient, type LoadClient } from '../load/client.ts';
import type { Mix } from '../load/messages.ts';
import { quantileOf } from '../load/latencies.ts';
import { freePorts, pause, startProgram, until } from '../programs.ts';
import { createBenchLog } from '../redis-log.ts';
import { short, type Table } from '../report/rows.ts';
import { algorithms, issuerOf, writeKeyFiles, writeTokenPool } from '../tokens.ts';

/** How the authorizer is started without one piece of its tuning. */
type Change = {
  /** A flag of the image that is left out. */
  readonly without?: (typeof startFlags.authorizer)[number];
  /** A flag that keeps the program from setting its own. */
  readonly flag?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A plug-in of scripts/bundle.ts that is left out. */
  readonly plugin?: string;
  /** Runs before the program. */
  readonly preload?: string;
  /** Requests of ten with tokens that were evicted; default 0. */
  readonly coldOfTen?: number;
};

const changes: Readonly<Record<string, Change>> = {
  none: {},
  'max-semi-space-size': { without: '--max-semi-space-size=2' },
  'no-parallel-scavenge': { without: '--no-parallel-scavenge' },
  'malloc-arena-max': { env: { MALLOC_ARENA_MAX: undefined } },
  'compile-cache': { env: { NODE_COMPILE_CACHE: undefined } },
  'no-allocation-site-pretenuring': { flag: '--allocation-site-pretenuring' },
  'heap-growing-percent': { flag: '--heap-growing-percent=0', coldOfTen: 5 },
  'no-maglev': { flag: '--maglev' },
  collection: {
    preload: `import { Session } from 'node:inspector';
      Session.prototype.post = (method, done) => done(null);`,
  },
  'one-read-buffer': {
    preload: `const { Pipe } = process.binding('pipe_wrap');
      for (let owner = Pipe.prototype; owner !== null; owner = Object.getPrototypeOf(owner))
        delete owner.useUserBuffer;`,
  },
  'plugin-unused': { plugin: 'unused' },
  'plugin-late': { plugin: 'late' },
  'plugin-builtins': { plugin: 'builtins' },
};

type Figures = Readonly<Record<(typeof figures)[number], number>>;
const figures = ['CPU µs', 'RSS idle MB', 'RSS loaded MB', 'ready ms', 'start CPU ms'] as const;

type Bench = {
  readonly folder: string;
  readonly redisPort: number;
  readonly keyFiles: ReturnType<typeof writeKeyFiles>;
  readonly load: LoadClient;
  readonly mix: Mix;
};

const hotTokens = 1000;
/** More than the authorizer caches. */
const coldTokens = 12_000;
/**
 * Slices of load of each process of a pair, in turn. The quickest eighth counts: what disturbs the others
 * leaves it alone.
 */
const slices = 16;
const sliceMs = 150;
const idleMs = 1500;

/**
 * Compares the authorizer with itself without a piece of tuning, asked directly over a Unix socket. A row
 * shows what leaving it out adds: the median of the pairs and, in parentheses, the middle half of them.
 * @throws for an unknown name
 */
export async function compareTuning(
  folder: string,
  options: { names: readonly string[]; pairs: number; say: (line: string) => void },
): Promise<Table> {
  const names = options.names.includes('all') ? Object.keys(changes) : options.names;
  for (const name of names)
    if (changes[name] === undefined)
      throw new Error(`no tuning is named ${name}; there are: ${Object.keys(changes).join(', ')}, all`);
  const bundle = buildBundle(folder);
  const rows: string[][] = [];
  const { bench, stop } = await prepare(folder);
  try {
    for (const name of names) {
      const change = changes[name] ?? {};
      const other = change.plugin === undefined ? bundle : bundleWithout(folder, change.plugin);
      const pairs: { shipped: Figures; changed: Figures }[] = [];
      // The first fills the compile cache.
      for (let pair = 0; pair <= options.pairs; pair += 1)
        pairs.push(await measurePair(bench, { bundle, other, change, isSwapped: pair % 2 === 1 }));
      rows.push([name, ...figures.map((figure) => difference(pairs.slice(1), figure))]);
      options.say(`tuning: ${rows.at(-1)?.join('  ')}`);
    }
  } finally {
    await stop();
  }
  return { title: `What leaving it out adds, ${options.pairs} pairs`, head: ['', ...figures], rows };
}

function bundleWithout(folder: string, plugin: string): string {
  const own = join(folder, plugin);
  mkdirSync(own, { recursive: true });
  return buildBundle(own, [plugin]);
}

function difference(pairs: readonly { shipped: Figures; changed: Figures }[], figure: keyof Figures): string {
  const sorted = pairs.map(({ shipped, changed }) => changed[figure] - shipped[figure]).sort((a, b) => a - b);
  const at = (share: number): string => signed(quantileOf(Float64Array.from(sorted), share));
  return `${at(0.5)} (${at(0.25)} to ${at(0.75)})`;
}

const signed = (value: number): string => `${value < 0 ? '-' : '+'}${short(Math.abs(value))}`;

async function prepare(folder: string): Promise<{ bench: Bench; stop(): Promise<void> }> {
  const keyFiles = writeKeyFiles(folder);
  const pool = writeTokenPool(folder, { name: 'hot-RS256', algorithm: 'RS256', count: hotTokens });
  const { command, args } = await findRedis();
  const [redisPort = 0] = await freePorts(1);
  const settings = ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', ''];
  const redis = startProgram({ name: 'redis', command, args: [...args, ...settings], folder });
  await until(redis, async () => redis.tail().includes('Ready to accept connections'));
  const issuers = algorithms.map(issuerOf);
  const log = await createBenchLog({ port: redisPort, name: 'bench', issuers, entries: 1 });
  const load = startLoadClient();
  await load.addPool(pool.name, pool.file);
  const cold = writeTokenPool(folder, { name: 'cold-ES256', algorithm: 'ES256', count: coldTokens });
  await load.addPool(cold.name, cold.file);
  return {
    bench: { folder, redisPort, keyFiles, load, mix: { hot: pool.name, hotTokens, cold: cold.name } },
    stop: async () => {
      load.stop();
      log.close();
      await redis.stop();
    },
  };
}

/** Both processes are there at once and are asked in turn, so that what slows the machine down slows both. */
async function measurePair(
  bench: Bench,
  options: { bundle: string; other: string; change: Change; isSwapped: boolean },
): Promise<{ shipped: Figures; changed: Figures }> {
  const { bundle, other, change, isSwapped } = options;
  const { coldOfTen = 0 } = change;
  const running: Contestant[] = [];
  try {
    const shipped = (): Promise<Contestant> => start(bench, 'shipped', bundle, { coldOfTen });
    const changed = (): Promise<Contestant> => start(bench, 'changed', other, change);
    for (const one of isSwapped ? [changed, shipped] : [shipped, changed]) running.push(await one());
    await pause(idleMs);
    const idle = running.map(({ program }) => readMemory(program.pid).residentMb);
    for (const { ask } of running) await ask({ durationMs: 5000, maxRequests: 100_000 });
    const spent: number[][] = running.map(() => []);
    for (let slice = 0; slice < slices; slice += 1)
      for (const [index, { ask }] of running.entries())
        spent[index]?.push(await ask({ durationMs: sliceMs }));
    const [first, second] = running.map(({ program, startCpuMs }, index): Figures => ({
      'CPU µs': quantileOf(Float64Array.from(spent[index] ?? []).sort(), 1 / 8),
      'RSS idle MB': idle[index] ?? Number.NaN,
      'RSS loaded MB': readMemory(program.pid).residentMb,
      'ready ms': program.readyMs,
      'start CPU ms': startCpuMs,
    }));
    if (first === undefined || second === undefined) throw new Error('a pair has two');
    return isSwapped ? { shipped: second, changed: first } : { shipped: first, changed: second };
  } finally {
    for (const { program } of running) await program.stop();
  }
}

type Contestant = {
  readonly program: RunningAuthorizer;
  readonly startCpuMs: number;
  /** @returns CPU time of a check; microseconds */
  ask(load: { durationMs: number; maxRequests?: number }): Promise<number>;
};

async function start(bench: Bench, name: string, bundle: string, change: Change): Promise<Contestant> {
  const { coldOfTen = 0 } = change;
  const { folder, redisPort, keyFiles, load } = bench;
  const path = join(folder, `${name}.sock`);
  const preload =
    change.preload === undefined
      ? []
      : ['--import', `data:text/javascript,${encodeURIComponent(change.preload)}`];
  const program = await startAuthorizer({
    name,
    folder,
    listen: `unix://${path}`,
    keyFiles,
    redisPort,
    log: 'bench',
    bundle,
    flags: startFlags.authorizer.filter((flag) => flag !== change.without),
    extraFlags: [...(change.flag === undefined ? [] : [change.flag]), ...preload],
    ...(change.env !== undefined && { env: change.env }),
  });
  return {
    program,
    startCpuMs: readCpuTime(program.pid).usedUs / 1000,
    ask: async (limits) => {
      const before = readCpuTime(program.pid).usedUs;
      const mix = { ...bench.mix, coldOfTen };
      const { requests } = await load.run({
        target: { protocol: 'grpc', path },
        mix,
        concurrency: 32,
        ...limits,
      });
      return (readCpuTime(program.pid).usedUs - before) / requests;
    },
  };
}
