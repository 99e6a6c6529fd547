import type { LogReading } from '../revocation-log/log-reading.ts';
import type { Moment } from './completeness.ts';

/** The epoch whose log was read whole, and the sequence number up to which all of it is known. */
export type HeldEpoch = { owner: string; epoch: number; retentionSeconds: number; applied: number };

/** What a view has asked for, at most one thing at a time. */
export type Work =
  | { readonly kind: 'idle' }
  /** `doubt` is a reading that only a fresh head can complete. */
  | {
      readonly kind: 'probing';
      readonly startedAt: Moment;
      readonly appliedBefore: number;
      readonly doubt: LogReading | undefined;
    }
  | { readonly kind: 'reading'; readonly reading: LogReading };

export const idle: Work = { kind: 'idle' };
