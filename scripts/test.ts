// The test command. It runs every test, searches the output for credentials, and ends with a line of counts.
// It passes its arguments to the test runner (`npm test -- test/token`). With `--suite=NAME` as the first
// argument, it runs the tests of test/NAME/vitest.config.ts instead, which need more than npm and pip.

import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { findEnvoy, findRedis } from '../src/demo/programs.ts';
import { findCredentials } from './credentials.ts';

type Assertion = {
  status: 'passed' | 'failed' | 'skipped' | 'pending' | 'todo' | 'disabled';
  fullName: string;
};
type Report = {
  testResults: { name: string; status: string; assertionResults: Assertion[] }[];
  success: boolean;
};

const root = join(import.meta.dirname, '..');
const [, suite] = process.argv[2]?.match(/^--suite=([a-z]+)$/) ?? [];
const output = join(root, '.cache', suite === undefined ? 'test-output' : `test-output-${suite}`);
const isCi = process.env['CI'] === 'true';
const say = (line: string): void => console.log(`test: ${line}`);

rmSync(output, { recursive: true, force: true });
mkdirSync(output, { recursive: true });

for (const find of suite === undefined ? [findEnvoy, findRedis] : []) {
  const program = await find({ announce: say });
  say(`using ${program.describe}`);
}

const reportFile = join(output, 'report.json');
const exitCode = await runVitest(
  suite === undefined
    ? process.argv.slice(2)
    : ['--config', join('test', suite, 'vitest.config.ts'), ...process.argv.slice(3)],
);
const report = JSON.parse(readFileSync(reportFile, 'utf8')) as Report;
const assertions = report.testResults.flatMap((file) => file.assertionResults);
const passed = assertions.filter(({ status }) => status === 'passed').length;
const failed = assertions.filter(({ status }) => status === 'failed').length;
const skipped = assertions.filter(({ status }) => status !== 'passed' && status !== 'failed');
for (const { fullName } of skipped) say(`did not run: ${fullName}`);
writeFileSync(join(output, 'failures.txt'), failures());

const leaks = findCredentials(output);
say(
  `searched ${leaks.files} files, ${leaks.bytes} bytes of output for ${leaks.planted} credentials used by the tests and for anything that looks like a token`,
);
for (const { file, what } of leaks.found) say(`CREDENTIAL IN OUTPUT: ${what} in ${file}`);
const count = `${passed} passed, ${failed} failed, ${skipped.length} skipped`;
console.log(`\n${count}`);
writeFileSync(join(output, 'count.txt'), `${count}\n`);

const isGreen =
  exitCode === 0 && report.success && passed > 0 && leaks.found.length === 0 && !(isCi && skipped.length > 0);
if (isCi && skipped.length > 0) say('under CI=true a test that cannot run is a failure');
process.exit(isGreen ? 0 : 1);

/**
 * The runner's report of failed tests, to be repeated at the end of a log, of which perhaps only the end is
 * kept.
 */
function failures(): string {
  const lines = stripVTControlCharacters(readFileSync(join(output, 'runner.log'), 'utf8')).split('\n');
  const first = lines.findIndex((line) =>
    /⎯ (Failed Tests \d+|Failed Suites \d+|Unhandled Errors) ⎯/.test(line),
  );
  const end = lines.findLastIndex((line) => line.startsWith(' Test Files '));
  if (first < 0) return '';
  return `${lines.slice(first, Math.min(end < first ? lines.length : end, first + 150)).join('\n')}\n`;
}

async function runVitest(filters: readonly string[]): Promise<number> {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [
    vitest,
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${reportFile}`,
    ...filters,
  ];
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, CURFEW_TEST_OUTPUT: output },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const copy = createWriteStream(join(output, 'runner.log'));
  for (const [from, to] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ] as const) {
    from.on('data', (chunk: Buffer) => {
      to.write(chunk);
      copy.write(chunk);
    });
  }
  const { promise, resolve } = Promise.withResolvers<number>();
  child.on('close', (code) => copy.end(() => resolve(code ?? 1)));
  return promise;
}
