import { readBusyTime, readCpuTime, readMemory } from './accounting.ts';
import { median } from './load/latencies.ts';
import type { Load, LoadResult, Mix } from './load/messages.ts';
import type { Contender, Stage } from './stage.ts';

/**
 * The figures of one load on one contender. CPU times are per request, and undefined for a process that isn't
 * involved.
 */
export type Sample = LoadResult & {
  readonly requestsPerSecond: number;
  readonly serverUs: number | undefined;
  readonly envoyUs: number | undefined;
  readonly generatorUs: number;
  readonly residentMb: number | undefined;
  /** Cores busy with anything but this measurement: the noise. */
  readonly otherCores: number;
};

export type Way = {
  readonly via: 'envoy' | 'direct';
  readonly ratePerSecond?: number;
  /** The round of an interleaved run. Each round has an Envoy of its own. */
  readonly round?: number;
};

/** Puts one load on a contender, and reads from the kernel what it cost each process. */
export async function measure(
  stage: Stage,
  contender: Contender,
  options: { mix: Mix; durationMs: number } & Way,
): Promise<Sample> {
  const { via, mix, durationMs, ratePerSecond, round = 0 } = options;
  const behind = via === 'envoy' ? contender.http[round % contender.http.length] : undefined;
  const target = via === 'envoy' ? behind?.target : contender.grpc;
  if (target === undefined) throw new Error(`${contender.name} cannot be asked directly`);
  const load: Load = {
    target,
    mix,
    durationMs,
    concurrency: stage.settings.concurrency,
    ...(ratePerSecond !== undefined && { ratePerSecond }),
  };
  const pids = {
    server: contender.server?.pid,
    envoy: behind?.envoy.pid,
    generator: stage.load.pid,
  };
  const read = () => ({
    server: usedBy(pids.server),
    envoy: usedBy(pids.envoy),
    generator: usedBy(pids.generator),
    busy: readBusyTime(),
  });
  const before = read();
  const result = await stage.load.run(load);
  const after = read();
  const answered = result.allowed + result.denied;
  const spent = (name: 'server' | 'envoy' | 'generator'): number => after[name] - before[name];
  const others = after.busy - before.busy - spent('server') - spent('envoy') - spent('generator');
  return {
    ...result,
    requestsPerSecond: result.requests / (result.elapsedMs / 1000),
    serverUs: pids.server === undefined ? undefined : spent('server') / answered,
    envoyUs: pids.envoy === undefined ? undefined : spent('envoy') / answered,
    generatorUs: spent('generator') / answered,
    residentMb: pids.server === undefined ? undefined : readMemory(pids.server).residentMb,
    otherCores: Math.max(0, others / (result.elapsedMs * 1000)),
  };
}

const usedBy = (pid: number | undefined): number => (pid === undefined ? 0 : readCpuTime(pid).usedUs);

/** Sends requests to a server until its just-in-time compiler has compiled the code that serves them. */
export async function breakIn({ settings, load }: Stage, { grpc }: Contender, mix: Mix): Promise<void> {
  if (grpc === undefined) return;
  const { firstMs: durationMs, firstRequests: maxRequests, concurrency } = settings;
  await load.run({ target: grpc, mix, durationMs, maxRequests, concurrency });
}

/** Warms a contender up, then measures it. */
export async function warmAndMeasure(
  stage: Stage,
  contender: Contender,
  options: { mix: Mix; durationMs: number } & Way,
): Promise<Sample> {
  const { via, mix, round = 0 } = options;
  // Sends each hot token at least once, so that the measurement finds all of them verified.
  await measure(stage, contender, { via, mix, round, durationMs: stage.settings.warmUpMs });
  return measure(stage, contender, options);
}

/** The quantile over all requests of the samples: a short sample alone has too few for a thousandth. */
function slowestThousandth(samples: readonly Sample[]): number {
  const requests = samples.reduce((total, sample) => total + sample.requests, 0);
  const slowest = Float64Array.from(samples.flatMap((sample) => [...sample.slowest])).sort();
  return slowest.at(-(Math.floor(requests / 1000) + 1)) ?? Number.NaN;
}

/** Merges the samples of several rounds: the median of each figure, except for the longest times. */
export function medianSample(samples: readonly Sample[]): Sample {
  const first = samples[0];
  if (first === undefined) throw new Error('no samples');
  const middle = (pick: (sample: Sample) => number): number => median(samples.map(pick));
  const optional = (pick: (sample: Sample) => number | undefined): number | undefined =>
    pick(first) === undefined ? undefined : middle((sample) => pick(sample) ?? Number.NaN);
  const sum = (pick: (sample: Sample) => number): number =>
    samples.reduce((total, sample) => total + pick(sample), 0);
  return {
    requests: sum(({ requests }) => requests),
    elapsedMs: sum(({ elapsedMs }) => elapsedMs),
    allowed: sum(({ allowed }) => allowed),
    denied: sum(({ denied }) => denied),
    failed: sum(({ failed }) => failed),
    requestsPerSecond: middle(({ requestsPerSecond }) => requestsPerSecond),
    p50: middle(({ p50 }) => p50),
    p90: middle(({ p90 }) => p90),
    p99: middle(({ p99 }) => p99),
    p999: slowestThousandth(samples),
    max: Math.max(...samples.map(({ max }) => max)),
    slowest: [],
    curve: first.curve.map((_, index) => middle(({ curve }) => curve[index] ?? Number.NaN)),
    serverUs: optional(({ serverUs }) => serverUs),
    envoyUs: optional(({ envoyUs }) => envoyUs),
    generatorUs: middle(({ generatorUs }) => generatorUs),
    residentMb: optional(({ residentMb }) => residentMb),
    otherCores: middle(({ otherCores }) => otherCores),
  };
}

/** A contender's samples in the order of the rounds. */
export type Series = {
  readonly contender: string;
  readonly title: string;
  readonly samples: readonly Sample[];
};

/** Measures contenders in turn, round after round, each round beginning with another one. */
export async function interleave<Case extends { name: string; title: string }>(
  cases: readonly Case[],
  rounds: number,
  take: (entry: Case, round: number) => Promise<Sample>,
): Promise<Series[]> {
  const samples = new Map<string, Sample[]>(cases.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    const shift = round % cases.length;
    for (const entry of [...cases.slice(shift), ...cases.slice(0, shift)])
      samples.get(entry.name)?.push(await take(entry, round));
  }
  return cases.map(({ name, title }) => ({ contender: name, title, samples: samples.get(name) ?? [] }));
}

/**
 * The ratios of two series, round by round: what slows a whole round down cancels out. Empty if something was
 * not measured.
 */
export function ratiosByRound(
  over: Series | undefined,
  under: Series | undefined,
  pick: (sample: Sample) => number | undefined,
): number[] {
  if (over === undefined || under === undefined) return [];
  return over.samples.flatMap((sample, round) => {
    const base = under.samples[round];
    const [value, of] = [pick(sample), base === undefined ? undefined : pick(base)];
    return value === undefined || of === undefined ? [] : [value / of];
  });
}
