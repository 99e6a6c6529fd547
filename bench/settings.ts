/** How long and how often things are measured. No figure makes a run fail. */
export type Settings = {
  readonly mode: 'full' | 'short';
  /**
   * Rounds of the main table; each measures every contender once. With many short rounds, a disturbance
   * doesn't move the median.
   */
  readonly rounds: number;
  /**
   * The same at 1000 requests/s. More and shorter rounds: a machine stalls for milliseconds at times, and one
   * stall fills the slowest hundredth of a round.
   */
  readonly pacedRounds: number;
  /** The same without Envoy. */
  readonly directRounds: number;
  /** The number of Envoys, which all contenders use in turn. */
  readonly envoys: number;
  /**
   * Warm-up before the first measurement, for just-in-time compilers: the number of requests, and the maximum
   * time.
   */
  readonly firstRequests: number;
  readonly firstMs: number;
  /** Before each measurement. */
  readonly warmUpMs: number;
  readonly closedMs: number;
  readonly pacedMs: number;
  /** Rounds and time of one cell of the other tables. */
  readonly cellRounds: number;
  readonly cellMs: number;
  /** Connections to Envoy, and streams of one to a server. */
  readonly concurrency: number;
  readonly ratePerSecond: number;
  readonly hotTokens: number;
  /** More tokens than the authorizer's cache has room for, so that each is evicted before it comes again. */
  readonly coldTokens: number;
  readonly heldRevocations: readonly number[];
  /**
   * At 1000 requests/s, for each; so short that most have no stall. The slowest hundredth of so few requests
   * is the slowest one.
   */
  readonly heldRounds: number;
  readonly heldMs: number;
  /**
   * Before the contenders, after them and at the end, so that a slow phase of the machine doesn't affect all
   * of them.
   */
  readonly starts: number;
  /** Time from ready to the measurement of idle memory. It includes work that V8 delays for seconds. */
  readonly idleMs: number;
  readonly stormMs: number;
  /** Minutes of a soak test, instead of everything else; 0: no soak test. */
  readonly soakMinutes: number;
};

const full: Settings = {
  mode: 'full',
  rounds: 20,
  pacedRounds: 34,
  directRounds: 11,
  envoys: 5,
  firstRequests: 100_000,
  firstMs: 6000,
  warmUpMs: 200,
  closedMs: 300,
  pacedMs: 300,
  cellRounds: 3,
  cellMs: 800,
  concurrency: 32,
  ratePerSecond: 1000,
  hotTokens: 1000,
  coldTokens: 12_000,
  heldRevocations: [1, 200_000, 1_000_000],
  heldRounds: 401,
  heldMs: 50,
  starts: 4,
  idleMs: 3500,
  stormMs: 4000,
  soakMinutes: 0,
};

const short: Settings = {
  ...full,
  mode: 'short',
  rounds: 1,
  pacedRounds: 1,
  directRounds: 1,
  envoys: 1,
  firstRequests: 10_000,
  firstMs: 1500,
  warmUpMs: 150,
  closedMs: 400,
  pacedMs: 400,
  cellRounds: 1,
  cellMs: 200,
  heldRevocations: [1, 200_000],
  heldRounds: 8,
  starts: 1,
  idleMs: 1500,
  stormMs: 1200,
};

export const settingsFor = (options: { short: boolean; soakMinutes: number }): Settings => ({
  ...(options.short ? short : full),
  soakMinutes: options.soakMinutes,
});
