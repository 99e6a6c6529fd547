import type { Clock, EpochSeconds } from '../../runtime/clock.ts';
import { Fault, isDatabaseUnavailable } from '../../runtime/fault.ts';
import type { Part } from '../../runtime/lifecycle.ts';
import type { Log } from '../../runtime/log.ts';

/** How this machine's clock compares with the database's. */
export type ClockState = 'agrees' | 'ahead' | 'behind';

/**
 * The clock for `iat` of issued tokens. Revocations with a cut-off time are dated by the database's clock. So
 * a token must never be dated later than that clock: a later revocation would otherwise not apply to it.
 */
export type IssuingClock = Part & {
  /**
   * The time of this machine or of the database, whichever is earlier. Does no I/O: the database's clock is
   * read at intervals.
   * @throws ERR_INTERNAL before the start
   */
  now(): EpochSeconds;
  /**
   * Tokens may be issued only while the clocks agree. Otherwise one of them is wrong, and it is unknown
   * which.
   */
  state(): ClockState;
};

export type IssuingClockOptions = {
  /** The database's clock; ms. */
  readDatabaseMs(): Promise<number>;
  clock: Clock;
  /** Greatest allowed difference of the clocks; ms. At least 2 s, which a revocation's cut-off allows for. */
  clockToleranceMs: number;
  log: Log;
  /** The interval between two reads of the database's clock; ms. Default 5 s. */
  everyMs?: number;
};

/** The outbox adds as much to a cut-off. */
const leastToleranceMs = 2000;

/**
 * The database's clock was at least at `databaseMs` when this machine's monotonic one was at `monotonicMs`.
 */
type Sample = { databaseMs: number; monotonicMs: number };

export function createIssuingClock(options: IssuingClockOptions): IssuingClock {
  const { clock, log, everyMs = 5000 } = options;
  let sample: Sample | undefined;
  let state: ClockState = 'agrees';
  let timer: NodeJS.Timeout | undefined;
  let measuring: Promise<void> = Promise.resolve();

  async function measure(): Promise<void> {
    const sentMs = clock.nowMs();
    const databaseMs = await options.readDatabaseMs();
    if (!Number.isFinite(databaseMs)) throw new Fault('ERR_DATABASE', 'the database returned no time');
    // The answer took time to arrive, so the estimate may be too early, but never too late.
    sample = { databaseMs, monotonicMs: clock.monotonicMs() };
    const measured = compare(databaseMs, { sentMs, receivedMs: clock.nowMs() }, options.clockToleranceMs);
    if (measured === state) return;
    state = measured;
    const aheadMs = Math.round(sentMs - databaseMs);
    if (state === 'agrees') log.info('the clock agrees with the clock of the database again', { aheadMs });
    else
      log.error('the clock differs from the clock of the database: no tokens are issued', { state, aheadMs });
  }

  return {
    name: 'issuing clock',
    now: () => {
      if (sample === undefined) throw new Fault('ERR_INTERNAL', 'the clock of the database was not read yet');
      const databaseMs = sample.databaseMs + (clock.monotonicMs() - sample.monotonicMs);
      return Math.floor(Math.min(clock.nowMs(), databaseMs) / 1000);
    },
    state: () => state,
    start: async () => {
      await measure();
      timer = setInterval(() => {
        measuring = measure().catch((thrown: unknown) => {
          const level = isDatabaseUnavailable(thrown) ? 'debug' : 'warn';
          log[level]('could not read the clock of the database; still using the last reading', {
            err: thrown,
          });
        });
      }, everyMs);
      timer.unref();
    },
    stop: async () => {
      clearInterval(timer);
      await measuring;
    },
  };
}

/** Reports only a certain difference: the database's clock was read at some time between the two. */
function compare(
  databaseMs: number,
  { sentMs, receivedMs }: { sentMs: number; receivedMs: number },
  clockToleranceMs: number,
): ClockState {
  const toleranceMs = Math.max(leastToleranceMs, clockToleranceMs);
  if (sentMs - databaseMs > toleranceMs) return 'ahead';
  return databaseMs - receivedMs > toleranceMs ? 'behind' : 'agrees';
}
