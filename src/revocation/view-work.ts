import type { LogReading } from '../revocation-log/log-reading.ts';
import type { Moment } from './completeness.ts';

/** The epoch whose whole log was read, and the sequence number up to which every entry is applied. */
export type HeldEpoch = { owner: string; epoch: number; retentionSeconds: number; applied: number };

/** The command that a view has in flight. */
export type Work =
  | { readonly kind: 'idle' }
  /** `doubt` is a reading that ended in a gap, which only a fresh head can explain. */
  | {
      readonly kind: 'probing';
      readonly startedAt: Moment;
      readonly appliedBefore: number;
      readonly doubt: LogReading | undefined;
    }
  | { readonly kind: 'reading'; readonly reading: LogReading };

export const idle: Work = { kind: 'idle' };
