import { breakIn, interleave, measure, warmAndMeasure, type Series } from '../measure.ts';
import type { Mix } from '../load/messages.ts';
import type { Contender, Stage } from '../stage.ts';

/** All contenders with 1000 tokens that were verified before, RS256. The goals refer to this table. */
export type ContenderTables = {
  /** At full speed. */
  readonly closed: Series[];
  /** At 1000 requests a second. */
  readonly paced: Series[];
  /** Without Envoy. */
  readonly direct: Series[];
};

/** The variants of a contender or of a listener are compared at full speed only. */
const isPeer = ({ isVariant }: Contender): boolean => !isVariant;

export async function compareContenders(stage: Stage): Promise<ContenderTables> {
  const { contenders, settings } = stage;
  const { rounds, pacedRounds, directRounds, closedMs, pacedMs, ratePerSecond } = settings;
  const mix: Mix = { hot: 'hot-RS256', hotTokens: settings.hotTokens };
  const asked = contenders.filter(({ grpc }) => grpc !== undefined);
  const behindEnvoy = contenders.filter(({ http }) => http.length > 0);
  for (const contender of asked) await breakIn(stage, contender, mix);
  return {
    closed: await interleave(behindEnvoy, rounds, (contender, round) =>
      warmAndMeasure(stage, contender, { mix, via: 'envoy', durationMs: closedMs, round }),
    ),
    paced: await interleave(behindEnvoy.filter(isPeer), pacedRounds, (contender, round) =>
      measure(stage, contender, { mix, via: 'envoy', durationMs: pacedMs, ratePerSecond, round }),
    ),
    direct: await interleave(asked, directRounds, (contender) =>
      warmAndMeasure(stage, contender, { mix, via: 'direct', durationMs: closedMs }),
    ),
  };
}
