import type { Head } from '../revocation-log/head.ts';
import type { EpochSeeder } from './epoch-seeder.ts';
import type { EpochWriter } from './epoch-writer.ts';
import type { LeaseSeen } from './leader-options.ts';
import type { Takeover } from './log-writes.ts';

/** What the leader works on. */
export type LeaderTask =
  | { readonly kind: 'head' }
  | { readonly kind: 'refused'; readonly untilMs: number; readonly by: string }
  | { readonly kind: 'import'; readonly head: Head }
  | { readonly kind: 'raise'; readonly above: number; readonly takeover: Takeover | undefined }
  | { readonly kind: 'seed'; readonly seeder: EpochSeeder }
  | { readonly kind: 'write'; readonly writer: EpochWriter };

/**
 * `epoch` is the lease's epoch. `isSpent` is true once a log was started under it, and then no other log may
 * be.
 */
export type Leadership = { epoch: number; isSpent: boolean; renewedMs: number; task: LeaderTask };
export type SeenLease = LeaseSeen & { readonly sinceMs: number };

/** Time until a task needs its next command; ms. */
export function taskWaitMs(task: LeaderTask, nowMs: number): number {
  if (task.kind === 'write') return task.writer.waitMs(nowMs);
  return task.kind === 'refused' ? task.untilMs - nowMs : 0;
}
