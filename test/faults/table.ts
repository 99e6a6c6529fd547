import { appendFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { repository } from '../processes.ts';

/** One line of the table that `npm run test:faults` prints. */
export type FaultRow = {
  readonly fault: string;
  /** What the test asserts. */
  readonly expected: string;
  readonly measured: string;
  /**
   * The same on a quiet machine of two cores, when the protocol was designed; `-` where it wasn't measured.
   */
  readonly design: string;
};

const file = process.env['CURFEW_FAULTS_TABLE'] ?? join(repository, '.cache', 'faults.jsonl');

/** Adds a line to the table. Call it before asserting, so that the table includes failures. */
export function measured(row: FaultRow): void {
  mkdirSync(dirname(file), { recursive: true });
  appendFileSync(file, `${JSON.stringify(row)}\n`);
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 100 ? 3 : 1)} s`;

/** The value below which this share of the values is. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/**
 * Records in the table that this machine can't inject a fault.
 * @throws under `CI=true`
 */
export function cannotShow(fault: string, why: string): void {
  measured({ fault, expected: '-', measured: `NOT SHOWN: ${why}`, design: '-' });
  if (process.env['CI'] === 'true') throw new Error(`cannot show "${fault}" here: ${why}`);
}
