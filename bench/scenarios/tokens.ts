import { interleave, warmAndMeasure, type Sample, type Series } from '../measure.ts';
import type { Mix } from '../load/messages.ts';
import { coldAlgorithms, type Contender, type Stage } from '../stage.ts';
import { algorithms, type BenchAlgorithm } from '../tokens.ts';

type Cell = {
  readonly name: string;
  readonly title: string;
  readonly contender: Contender;
  readonly mix: Mix;
};

export type TokenTables = {
  /** Algorithms, and shares of tokens that were verified before. */
  readonly closed: Series[];
  readonly paced: Series[];
  /** The share of look-ups that found the token in the cache, as the authorizer counted it, by cell. */
  readonly hitRates: Readonly<Record<string, number>>;
};

/** The cost of tokens that aren't in the cache, by algorithm, and of a single token instead of many. */
export async function compareTokens(stage: Stage): Promise<TokenTables> {
  const { cellRounds: rounds, cellMs: durationMs, ratePerSecond } = stage.settings;
  const cells = cellsFor(stage);
  const hitRates: Record<string, number> = {};
  const take = async (cell: Cell, round: number, rate?: number): Promise<Sample> => {
    const { mix, contender } = cell;
    const pace = rate === undefined ? {} : { ratePerSecond: rate };
    const before = await cacheCounts(stage);
    const sample = await warmAndMeasure(stage, contender, { mix, via: 'envoy', durationMs, round, ...pace });
    const after = await cacheCounts(stage);
    const hits = after.hits - before.hits;
    const looked = hits + after.misses - before.misses;
    if (looked > 0) hitRates[cell.name] = hits / looked;
    return sample;
  };
  const closed = await interleave(cells, rounds, take);
  const ours = cells.filter(({ contender }) => contender.name === 'curfew-unix');
  const paced = await interleave(ours, rounds, (cell, round) => take(cell, round, ratePerSecond));
  return { closed, paced, hitRates };
}

async function cacheCounts({ authorizers }: Stage): Promise<{ hits: number; misses: number }> {
  const count = (result: string): Promise<number> =>
    authorizers.unix.metric('curfew_token_cache_total', `result="${result}"`);
  return { hits: await count('hit'), misses: await count('miss') };
}

function cellsFor(stage: Stage): Cell[] {
  const { contenders, settings } = stage;
  const find = (name: string): Contender[] => contenders.filter((contender) => contender.name === name);
  const hot = (algorithm: BenchAlgorithm, hotTokens: number): Mix => ({ hot: `hot-${algorithm}`, hotTokens });
  const withCold = (algorithm: BenchAlgorithm, coldOfTen: number): Mix => ({
    ...hot(algorithm, settings.hotTokens),
    cold: `cold-${algorithm}`,
    coldOfTen,
  });
  const cell = (contender: Contender, label: string, mix: Mix): Cell => ({
    name: `${contender.name} ${label}`,
    title: `${contender.title}, ${label}`,
    contender,
    mix,
  });
  const cells: Cell[] = [];
  for (const ours of find('curfew-unix')) {
    cells.push(cell(ours, 'RS256, one token', hot('RS256', 1)));
    for (const algorithm of algorithms)
      cells.push(cell(ours, `${algorithm}, 100 % hits`, hot(algorithm, settings.hotTokens)));
    for (const algorithm of coldAlgorithms(settings.mode)) {
      cells.push(cell(ours, `${algorithm}, 90 % hits`, withCold(algorithm, 1)));
      cells.push(cell(ours, `${algorithm}, no hits`, withCold(algorithm, 10)));
    }
  }
  for (const peer of [...find('jwt-authn'), ...find('go-jwt')]) {
    cells.push(cell(peer, 'RS256, one token', hot('RS256', 1)));
    for (const algorithm of algorithms) cells.push(cell(peer, algorithm, hot(algorithm, settings.hotTokens)));
  }
  return cells;
}
