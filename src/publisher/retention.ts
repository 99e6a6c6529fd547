import { raceSeconds } from '../revocation-log/race.ts';
import { lifetimeSlackSeconds } from '../token/issuer-rules.ts';

/** What decides how long a revocation log keeps its entries. */
export type RetentionOptions = {
  /** Longest lifetime of the issuers' tokens; ms. */
  readonly maxTokenLifetimeMs: number;
  /** How far the clocks of issuers, sidecars and the log may be apart; ms. */
  readonly clockToleranceMs: number;
};

/** How long the log keeps an entry, in whole seconds: until every token that it refuses has expired. */
export const logRetentionSeconds = (options: RetentionOptions): number =>
  Math.ceil((options.maxTokenLifetimeMs + 2 * options.clockToleranceMs) / 1000) +
  lifetimeSlackSeconds +
  raceSeconds;
