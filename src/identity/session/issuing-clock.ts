import type { Clock, EpochSeconds } from '../../runtime/clock.ts';
import { Fault, isDatabaseUnavailable } from '../../runtime/fault.ts';
import type { Part } from '../../runtime/lifecycle.ts';
import type { Log } from '../../runtime/log.ts';

/** How this machine's clock compares with the database's. */
export type ClockState = 'agrees' | 'ahead' | 'behind';

/**
 * The time that tokens are dated by. A revocation that cuts off by time is dated by the database's clock: a token must
 * never be dated later than that clock, or it would outlive a revocation that came after it.
 */
export type IssuingClock = Part & {
  /**
   * This machine's time, or the database's where that is earlier. Cost: none, the database is asked now and then.
   * @throws ERR_INTERNAL before the start
   */
  now(): EpochSeconds;
  /** Nothing may be issued unless the clocks agree: one of them is wrong, and nobody can tell which. */
  state(): ClockState;
};

export type IssuingClockOptions = {
  /** The database's clock; ms. */
  readDatabaseMs(): Promise<number>;
  clock: Clock;
  /** How far the clocks may be apart; ms. At least 2 s count: what a revocation allows for. */
  clockToleranceMs: number;
  log: Log;
  /** Between two looks at the database's clock; ms. Default 5 s. */
  everyMs?: number;
};

/** As the outbox adds to a cut-off. */
const leastToleranceMs = 2000;

/** The database's clock was at least at `databaseMs` when this machine's monotonic one was at `monotonicMs`. */
type Sample = { databaseMs: number; monotonicMs: number };

export function createIssuingClock(options: IssuingClockOptions): IssuingClock {
  const { clock, log, everyMs = 5000 } = options;
  let sample: Sample | undefined;
  let seen: ClockState = 'agrees';
  let timer: NodeJS.Timeout | undefined;
  let measuring: Promise<void> = Promise.resolve();

  async function measure(): Promise<void> {
    const sentMs = clock.nowMs();
    const databaseMs = await options.readDatabaseMs();
    if (!Number.isFinite(databaseMs)) throw new Fault('ERR_DATABASE', 'the database does not tell its time');
    // What it took to arrive makes the estimate an earlier one: never a later.
    sample = { databaseMs, monotonicMs: clock.monotonicMs() };
    const state = compare(databaseMs, { sentMs, receivedMs: clock.nowMs() }, options.clockToleranceMs);
    if (state === seen) return;
    seen = state;
    const aheadMs = Math.round(sentMs - databaseMs);
    if (state === 'agrees') log.info('the clock agrees with the database’s again', { aheadMs });
    else
      log.error('the clock is not the database’s: no tokens are issued; synchronize both', {
        state,
        aheadMs,
      });
  }

  return {
    name: 'issuing clock',
    now: () => {
      if (sample === undefined) throw new Fault('ERR_INTERNAL', 'the database was not asked for its time');
      const databaseMs = sample.databaseMs + (clock.monotonicMs() - sample.monotonicMs);
      return Math.floor(Math.min(clock.nowMs(), databaseMs) / 1000);
    },
    state: () => seen,
    start: async () => {
      await measure();
      timer = setInterval(() => {
        measuring = measure().catch((thrown: unknown) => {
          const level = isDatabaseUnavailable(thrown) ? 'debug' : 'warn';
          log[level]('the database does not tell its time; its former goes on', { err: thrown });
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

/** Only what is certain: the database's clock was read some time between the two. */
function compare(
  databaseMs: number,
  { sentMs, receivedMs }: { sentMs: number; receivedMs: number },
  clockToleranceMs: number,
): ClockState {
  const toleranceMs = Math.max(leastToleranceMs, clockToleranceMs);
  if (sentMs - databaseMs > toleranceMs) return 'ahead';
  return databaseMs - receivedMs > toleranceMs ? 'behind' : 'agrees';
}
