import { appendFileSync, mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';

const output = process.env['CURFEW_TEST_OUTPUT'] ?? join(import.meta.dirname, '..', '.cache', 'test-output');
mkdirSync(output, { recursive: true });

/**
 * A file for everything a program under test prints (at log level debug), searched for credentials when the
 * suite has ended.
 */
export const outputFile = (name: string): string => join(mkdtempSync(join(output, `${name}-`)), 'output.log');

/** Tells the search at the end of the suite that this text must not be found in any output. */
export function neverPrinted(...credentials: readonly string[]): void {
  appendFileSync(join(output, 'credentials.txt'), credentials.map((text) => `${text}\n`).join(''));
}
