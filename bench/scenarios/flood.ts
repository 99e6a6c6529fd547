import { startLoadClient } from '../load/client.ts';
import { breakIn, measure, type Sample } from '../measure.ts';
import type { LoadResult, Mix } from '../load/messages.ts';
import type { Stage } from '../stage.ts';

export type Flood = {
  readonly calm: Sample;
  /** Requests with valid tokens, while forged ones arrive. */
  readonly flooded: Sample;
  /** Requests with forged tokens. */
  readonly forged: LoadResult;
};

const floodPerSecond = 3000;

/**
 * Valid tokens, verified before, at 1000 requests/s, while tokens with forged signatures arrive at three
 * times that rate.
 */
export async function flood(stage: Stage): Promise<Flood | undefined> {
  const { settings, contenders, folder } = stage;
  const contender = contenders.find(({ name }) => name === 'curfew-unix');
  if (contender?.grpc === undefined) return undefined;
  const mix: Mix = { hot: 'hot-RS256', hotTokens: settings.hotTokens };
  const { stormMs: durationMs, ratePerSecond, concurrency } = settings;
  const good = (): Promise<Sample> =>
    measure(stage, contender, { mix, via: 'direct', durationMs, ratePerSecond });
  const attacker = startLoadClient();
  try {
    await attacker.addPool('forged', `${folder}/forged.tokens`);
    await breakIn(stage, contender, mix);
    const calm = await good();
    const forgedMix: Mix = { hot: 'forged', hotTokens: 2000 };
    const attack = {
      target: contender.grpc,
      mix: forgedMix,
      durationMs,
      concurrency,
      ratePerSecond: floodPerSecond,
    };
    const [flooded, forged] = await Promise.all([good(), attacker.run(attack)]);
    return { calm, flooded, forged };
  } finally {
    attacker.stop();
  }
}
