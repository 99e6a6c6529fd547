import type { ContenderTables } from '../scenarios/contenders.ts';
import type { Flood } from '../scenarios/flood.ts';
import type { RevocationTables, Storm } from '../scenarios/revocations.ts';
import type { StartTimes } from '../scenarios/start.ts';
import type { TokenTables } from '../scenarios/tokens.ts';
import type { Settings } from '../settings.ts';

/** A goal and the figure of the run. `reached` is undefined if the run lacked a contender. */
export type Bar = {
  readonly what: string;
  /** Undefined if no goal was set. */
  readonly goal: number | undefined;
  readonly reached: number | undefined;
  readonly unit: '×' | 'MB' | 'ms';
  /** The values of which `reached` is the median, if it is one. */
  readonly rounds: readonly number[];
};

/** All figures of a run: the content of the JSON file. */
export type Report = {
  readonly command: string;
  readonly date: string;
  readonly seconds: number;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryMb: number;
    readonly kernel: string;
    readonly node: string;
    readonly envoy: string;
    readonly go: string | undefined;
  };
  readonly revision: string;
  readonly settings: Settings;
  readonly contenders: ContenderTables;
  readonly tokens: TokenTables;
  readonly revocations: RevocationTables;
  readonly storm: Storm;
  readonly flood: Flood | undefined;
  readonly starts: StartTimes;
  readonly bars: readonly Bar[];
};
