// Shows where the authorizer spends its time: checks of verified tokens, sent without Envoy, under V8's
// sampling profiler.
//
//   node scripts/setup.mjs bench/profile.ts [--requests 100000] [--keep FOLDER]
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { findRedis } from '../src/demo/programs.ts';
import { readCpuTime } from './accounting.ts';
import { startAuthorizer } from './authorizer.ts';
import { startLoadClient } from './load/client.ts';
import { freePorts, startProgram, until } from './programs.ts';
import { createBenchLog } from './redis-log.ts';
import { tableText } from './report/rows.ts';
import { algorithms, issuerOf, writeKeyFiles, writeTokenPool } from './tokens.ts';

type Node = {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
};
type Profile = {
  readonly nodes: readonly Node[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
};

const { values } = parseArgs({
  options: { requests: { type: 'string', default: '100000' }, keep: { type: 'string' } },
});
const maxRequests = Number(values.requests);
const folder = mkdtempSync(join(tmpdir(), 'curfew-profile-'));

/** Self time by activity; microseconds. */
function selfTimes(profile: Profile, nameOf: (node: Node) => string): Map<string, number> {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const times = new Map<string, number>();
  for (const [index, id] of profile.samples.entries()) {
    const node = nodes.get(id);
    if (node === undefined) continue;
    const name = nameOf(node);
    times.set(name, (times.get(name) ?? 0) + (profile.timeDeltas[index] ?? 0));
  }
  times.delete('(idle)');
  return times;
}

function groupOf({ callFrame: { functionName, url } }: Node): string {
  if (functionName === '(idle)') return '(idle)';
  if (functionName === '(garbage collector)') return 'garbage collection';
  if (functionName === '(program)') return 'native code outside of functions (sockets, libuv, nghttp2)';
  const room = /\/src\/(?<room>[\w-]+)\//.exec(url)?.groups?.['room'];
  if (room !== undefined && !url.includes('node_modules')) return `curfew, ${room}`;
  const dependency = /node_modules\/(?<name>(?:@[\w-]+\/)?[\w-]+)/.exec(url)?.groups?.['name'];
  if (dependency !== undefined) return dependency;
  if (url.startsWith('node:internal/http2')) return 'node:http2';
  if (url.startsWith('node:')) return `node, other (streams, events, timers)`;
  return url === '' ? 'V8 builtins and native functions' : 'other';
}

const functionOf = ({ callFrame: { functionName, url, lineNumber } }: Node): string =>
  functionName === '(idle)'
    ? '(idle)'
    : `${functionName || '(anonymous)'} ${url.replace(/^.*\/(?=node_modules|src)/, '')}:${lineNumber + 1}`;

function printTimes(title: string, times: Map<string, number>, requests: number, most: number): void {
  const total = [...times.values()].reduce((sum, time) => sum + time, 0);
  const rows = [...times]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, most)
    .map(([name, time]) => [name, (time / requests).toFixed(2), `${((time / total) * 100).toFixed(1)} %`]);
  console.log(tableText({ title, head: ['', 'µs a check', 'share'], rows }));
}

async function run(): Promise<void> {
  const keyFiles = writeKeyFiles(folder);
  const pool = writeTokenPool(folder, { name: 'hot-RS256', algorithm: 'RS256', count: 1000 });
  const { command, args } = await findRedis();
  const [redisPort = 0] = await freePorts(1);
  const redis = startProgram({
    name: 'redis',
    command,
    args: [...args, '--port', String(redisPort), '--save', ''],
    folder,
  });
  await until(redis, async () => redis.tail().includes('Ready to accept connections'));
  const log = await createBenchLog({
    port: redisPort,
    name: 'bench',
    issuers: algorithms.map(issuerOf),
    entries: 1,
  });
  const path = join(folder, 'profiled.sock');
  const authorizer = await startAuthorizer({
    name: 'profiled',
    folder,
    listen: `unix://${path}`,
    keyFiles,
    redisPort,
    log: 'bench',
    from: 'source',
    extraFlags: ['--cpu-prof', '--cpu-prof-dir', folder, '--cpu-prof-interval', '200'],
  });
  const load = startLoadClient();
  await load.addPool(pool.name, pool.file);
  const before = readCpuTime(authorizer.pid).usedUs;
  const result = await load.run({
    target: { protocol: 'grpc', path },
    mix: { hot: pool.name, hotTokens: pool.count },
    durationMs: 60_000,
    maxRequests,
    concurrency: 64,
  });
  const used = readCpuTime(authorizer.pid).usedUs - before;
  load.stop();
  await authorizer.stop();
  log.close();
  await redis.stop();
  const file = readdirSync(folder).find((name) => name.endsWith('.cpuprofile'));
  if (file === undefined) throw new Error('the authorizer left no profile');
  const profile = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Profile;
  console.log(
    `${result.requests} checks, ${(used / result.requests).toFixed(1)} µs of CPU each, profiler included`,
  );
  printTimes('By owner', selfTimes(profile, groupOf), result.requests, 30);
  printTimes('By function', selfTimes(profile, functionOf), result.requests, 45);
  if (values.keep === undefined) return;
  mkdirSync(values.keep, { recursive: true });
  copyFileSync(join(folder, file), join(resolve(values.keep), 'authorizer.cpuprofile'));
}

try {
  await run();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
