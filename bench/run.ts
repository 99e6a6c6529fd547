// Measures the authorizer against its peers, all in one interleaved run:
//
//   npm run bench                       everything, under 10 minutes
//   npm run bench -- --short            everything briefly, under a minute once the Go contenders are built
//   npm run bench -- --soak 10          memory over ten minutes of checks
//   npm run bench -- --tuning NAME      the authorizer against itself without a piece of tuning; a wrong NAME lists all
//   npm run bench -- --tuning NAME --pairs 20
//   npm run bench -- --out FOLDER       where report.json and report.html go; default .cache/bench
//
// It reports figures; no figure makes it fail.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { findEnvoy } from '../src/demo/programs.ts';
import { repository } from './programs.ts';
import { barsOf } from './report/bars.ts';
import { pageOf } from './report/page.ts';
import type { Report } from './report/report.ts';
import { tableText } from './report/rows.ts';
import { noiseOf, tablesOf } from './report/tables.ts';
import { compareContenders } from './scenarios/contenders.ts';
import { flood } from './scenarios/flood.ts';
import { holdRevocations, weatherStorm } from './scenarios/revocations.ts';
import { soak } from './scenarios/soak.ts';
import { joinStarts, timeStarts, type StartTimes } from './scenarios/start.ts';
import { compareTokens } from './scenarios/tokens.ts';
import { compareTuning } from './scenarios/tuning.ts';
import { settingsFor } from './settings.ts';
import { setStage, type Stage } from './stage.ts';

const { values } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    soak: { type: 'string', default: '0' },
    tuning: { type: 'string' },
    pairs: { type: 'string', default: '10' },
    out: { type: 'string', default: join(repository, '.cache', 'bench') },
  },
});
const startedMs = performance.now();
const say = (line: string): void =>
  console.log(`bench ${((performance.now() - startedMs) / 1000).toFixed(0).padStart(3)} s: ${line}`);
const settings = settingsFor({ short: values.short, soakMinutes: Number(values.soak) });
const out = resolve(values.out);
mkdirSync(out, { recursive: true });
// A short path, because the path of a Unix socket has at most 107 bytes.
const folder = mkdtempSync(join(tmpdir(), 'curfew-bench-'));

const outputOf = (command: string, args: readonly string[]): string | undefined => {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8', cwd: repository });
  return status === 0 ? stdout.trim() : undefined;
};

async function takeAll(stage: Stage): Promise<Omit<Report, 'bars'>> {
  const starts: StartTimes[] = [];
  const start = async (): Promise<void> => {
    say('starts');
    starts.push(await timeStarts(stage));
  };
  await start();
  say('contenders');
  const contenders = await compareContenders(stage);
  await start();
  say('algorithms and cache');
  const tokens = await compareTokens(stage);
  say('revocations held');
  const revocations = await holdRevocations(stage);
  say('storm');
  const storm = await weatherStorm(stage);
  say('flood');
  const flooded = await flood(stage);
  await start();
  return {
    command: `npm run bench${values.short ? ' -- --short' : ''}`,
    date: new Date().toISOString(),
    seconds: (performance.now() - startedMs) / 1000,
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryMb: Math.round(totalmem() / 1e6),
      kernel: release(),
      node: process.version,
      envoy: (await findEnvoy()).describe,
      go: outputOf('go', ['version']),
    },
    revision: outputOf('git', ['rev-parse', '--short', 'HEAD']) ?? 'unknown',
    settings,
    contenders,
    tokens,
    revocations,
    storm,
    flood: flooded,
    starts: joinStarts(starts),
  };
}

function publish(report: Report): void {
  for (const table of tablesOf(report)) console.log(tableText(table));
  console.log(noiseOf(report));
  writeFileSync(join(out, 'report.json'), `${JSON.stringify(report, null, 1)}\n`);
  writeFileSync(join(out, 'report.html'), pageOf(report));
  say(`report in ${join(out, 'report.html')} and report.json`);
}

async function run(stage: Stage): Promise<void> {
  if (settings.soakMinutes > 0) {
    const result = await soak(stage, say);
    writeFileSync(join(out, 'soak.json'), `${JSON.stringify(result, null, 1)}\n`);
  } else {
    const report = await takeAll(stage);
    publish({ ...report, bars: barsOf(report) });
  }
}

try {
  if (values.tuning === undefined) {
    const stage = await setStage(folder, settings, say);
    try {
      await run(stage);
    } finally {
      await stage.stop();
    }
  } else {
    const table = await compareTuning(folder, {
      names: values.tuning.split(','),
      pairs: Number(values.pairs),
      say,
    });
    console.log(tableText(table));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
