/** How long and how often things are measured. Nothing here decides whether a run passes: a time never fails it. */
export type Settings = {
  readonly mode: 'full' | 'short';
  /** Rounds of the main table; each round measures every contender once. Many short ones: what disturbs some leaves the median alone. */
  readonly rounds: number;
  /** The same at 1000 requests/s. More and shorter ones: the machine stalls for milliseconds at times, and one stall has all of a round's slowest hundredth. */
  readonly pacedRounds: number;
  /** The same without Envoy between. */
  readonly directRounds: number;
  /** That all contenders are behind, in turn. */
  readonly envoys: number;
  /** Before anything is measured, so that just-in-time compilers are done: requests, and the longest time. */
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
  /** More than the authorizer's cache holds, so that each has been forgotten when it comes again. */
  readonly coldTokens: number;
  readonly heldRevocations: readonly number[];
  /** At 1000 requests/s, for each; so short that most have no stall in them. The slowest hundredth of so few is the slowest one. */
  readonly heldRounds: number;
  readonly heldMs: number;
  /** Before the contenders, after them and at the end, so that no bad moment of the machine has them all. */
  readonly starts: number;
  /** From ready to the measurement of idle memory; what V8 puts off for seconds is to be seen in it. */
  readonly idleMs: number;
  readonly stormMs: number;
  /** Minutes of a soak instead of everything else; 0: none. */
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
