import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A folder that goes with the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'curfew-test-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const lasting: string[] = [];

function removeLasting(): void {
  for (const directory of lasting) rmSync(directory, { recursive: true, force: true });
}

/** A folder that goes with the tests' process, for what more than one test needs. */
export function lastingDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'curfew-tests-'));
  if (lasting.push(directory) === 1) process.once('exit', removeLasting);
  return directory;
}
