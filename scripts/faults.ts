// Breaks real servers under the real programs, and prints for each fault the expected effect, the measured
// figure, and the figure of the design. Passes its arguments to the test runner (`npm run test:faults --
// network`).

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { findEnvoy, findRedis } from '../src/demo/programs.ts';
import type { FaultRow } from '../test/faults/table.ts';
import { findCredentials } from './credentials.ts';

const root = join(import.meta.dirname, '..');
const output = join(root, '.cache', 'fault-output');
const table = join(output, 'table.jsonl');
const say = (line: string): void => console.log(`faults: ${line}`);

rmSync(output, { recursive: true, force: true });
mkdirSync(output, { recursive: true });
for (const find of [findEnvoy, findRedis]) {
  const program = await find({ announce: say });
  say(`using ${program.describe}`);
}

const started = performance.now();
const exitCode = await runVitest(process.argv.slice(2));
const took = Math.round((performance.now() - started) / 1000);
const leaks = findCredentials(output);
for (const { file, what } of leaks.found) say(`CREDENTIAL IN OUTPUT: ${what} in ${file}`);

const rows = existsSync(table)
  ? readFileSync(table, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as FaultRow)
  : [];
console.log(`\n${layOut(rows)}\n`);
// Times depend on the load of the machine, so it belongs to the figures.
say(
  `${rows.length} figures in ${took} s, on ${cpus().length} processors with a load of ${loadavg()[0]?.toFixed(1)}`,
);
process.exit(exitCode === 0 && rows.length > 0 && leaks.found.length === 0 ? 0 : 1);

/** The rows in columns, as a Markdown table. */
function layOut(rows: readonly FaultRow[]): string {
  const names = ['fault', 'expected', 'measured', 'design'] as const;
  const lines = [
    ['fault', 'expected', 'measured', "design's figure"],
    ...rows.map((row) => names.map((name) => row[name])),
  ];
  const widths = names.map((_, index) => Math.max(...lines.map((cells) => cells[index]?.length ?? 0)));
  const [head = '', ...body] = lines.map(
    (cells) => `| ${cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join(' | ')} |`,
  );
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [head, rule, ...body].join('\n');
}

async function runVitest(filters: readonly string[]): Promise<number> {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const config = join(root, 'test', 'faults', 'vitest.config.ts');
  const child = spawn(
    process.execPath,
    [vitest, 'run', '--config', config, '--reporter=verbose', ...filters],
    {
      cwd: root,
      env: { ...process.env, CURFEW_TEST_OUTPUT: output, CURFEW_FAULTS_TABLE: table },
      stdio: 'inherit',
    },
  );
  const { promise, resolve } = Promise.withResolvers<number>();
  child.on('close', (code) => resolve(code ?? 1));
  return await promise;
}
