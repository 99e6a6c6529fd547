import type { ContenderTables } from '../scenarios/contenders.ts';
import type { Flood } from '../scenarios/flood.ts';
import type { RevocationTables, Storm } from '../scenarios/revocations.ts';
import type { StartTimes } from '../scenarios/start.ts';
import type { TokenTables } from '../scenarios/tokens.ts';
import type { Settings } from '../settings.ts';
import type { Bar } from './bars.ts';

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
