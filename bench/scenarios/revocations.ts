import { join } from 'node:path';
import { readCpuTime, readMemory } from '../accounting.ts';
import { startAuthorizer, type RunningAuthorizer } from '../authorizer.ts';
import { breakIn, interleave, measure, type Sample, type Series } from '../measure.ts';
import type { Mix } from '../load/messages.ts';
import { pause } from '../programs.ts';
import { createBenchLog, type BenchLog } from '../redis-log.ts';
import type { Contender, Stage } from '../stage.ts';
import { algorithms, issuerOf } from '../tokens.ts';

export type Held = {
  readonly revocations: number;
  readonly readyMs: number;
  /** After the log was read, and after checks. */
  readonly residentMb: number;
  readonly loadedMb: number;
};

export type RevocationTables = {
  readonly held: readonly Held[];
  /** Without Envoy at 1000 requests/s, by number of revocations. */
  readonly paced: Series[];
  readonly closed: Series[];
};

/** The cost of many revocations in memory, start time and check time. */
export async function holdRevocations(stage: Stage): Promise<RevocationTables> {
  const { settings } = stage;
  const mix: Mix = { hot: 'hot-RS256', hotTokens: settings.hotTokens };
  const holders: (Holder & { name: string; title: string })[] = [];
  try {
    for (const revocations of settings.heldRevocations) {
      const holder = await startHolder(stage, revocations);
      holders.push({
        ...holder,
        name: String(revocations),
        title: `${revocations.toLocaleString('en')} revocations`,
      });
    }
    const { heldRounds, heldMs, cellRounds: rounds, cellMs: durationMs, ratePerSecond } = settings;
    for (const { contender } of holders) await breakIn(stage, contender, mix);
    const paced = await interleave(holders, heldRounds, ({ contender }) =>
      measure(stage, contender, { mix, via: 'direct', durationMs: heldMs, ratePerSecond }),
    );
    const closed = await interleave(holders, rounds, ({ contender }) =>
      measure(stage, contender, { mix, via: 'direct', durationMs }),
    );
    const held = holders.map(({ authorizer, revocations, residentMb }) => ({
      revocations,
      readyMs: authorizer.readyMs,
      residentMb,
      loadedMb: readMemory(authorizer.pid).residentMb,
    }));
    return { held, paced, closed };
  } finally {
    for (const { authorizer, log } of holders) {
      log.close();
      await authorizer.stop();
    }
  }
}

type Holder = {
  readonly revocations: number;
  readonly authorizer: RunningAuthorizer;
  readonly contender: Contender;
  readonly log: BenchLog;
  readonly residentMb: number;
};

async function startHolder(stage: Stage, revocations: number): Promise<Holder> {
  const { folder, keyFiles, redisPort } = stage;
  const name = `held-${revocations}`;
  const issuers = algorithms.map(issuerOf);
  const log = await createBenchLog({ port: redisPort, name, issuers, entries: revocations });
  const path = join(folder, `${name}.sock`);
  const listen = `unix://${path}`;
  const authorizer = await startAuthorizer({ name, folder, listen, keyFiles, redisPort, log: name });
  await pause(1500);
  const contender: Contender = {
    name,
    title: name,
    http: [],
    grpc: { protocol: 'grpc', path },
    server: authorizer,
    isVariant: false,
  };
  return { revocations, authorizer, contender, log, residentMb: readMemory(authorizer.pid).residentMb };
}

export type Storm = {
  readonly events: number;
  readonly eventsPerSecond: number;
  readonly calm: Sample;
  readonly storm: Sample;
  /** CPU of the authorizer for one event; microseconds. */
  readonly eventUs: number;
};

const perMessage = 20;
const messagesPerSecond = 250;

/** Checks at 1000/s while revocations arrive at 5000/s. */
export async function weatherStorm(stage: Stage): Promise<Storm> {
  const { settings } = stage;
  const { authorizer, contender, log } = await startHolder(stage, 2);
  const mix: Mix = { hot: 'hot-RS256', hotTokens: settings.hotTokens };
  const { stormMs: durationMs, ratePerSecond } = settings;
  const check = (): Promise<Sample> =>
    measure(stage, contender, { mix, via: 'direct', durationMs, ratePerSecond });
  try {
    await breakIn(stage, contender, mix);
    const calm = await check();
    const appliedBefore = await authorizer.metric('curfew_revocation_events_total', 'result="applied"');
    const before = readCpuTime(authorizer.pid).usedUs;
    const [storm] = await Promise.all([check(), rain(log, durationMs)]);
    const used = readCpuTime(authorizer.pid).usedUs - before;
    const applied = await authorizer.metric('curfew_revocation_events_total', 'result="applied"');
    const events = applied - appliedBefore;
    const checksUs = (calm.serverUs ?? 0) * (storm.allowed + storm.denied);
    return {
      events,
      eventsPerSecond: events / (durationMs / 1000),
      calm,
      storm,
      eventUs: (used - checksUs) / Math.max(1, events),
    };
  } finally {
    log.close();
    await authorizer.stop();
  }
}

async function rain(log: BenchLog, durationMs: number): Promise<void> {
  const startedMs = performance.now();
  const messages = (durationMs / 1000) * messagesPerSecond;
  for (let sent = 0; sent < messages; sent += 1) {
    await log.append(perMessage, perMessage);
    const aheadMs = startedMs + ((sent + 1) * 1000) / messagesPerSecond - performance.now();
    if (aheadMs >= 1) await pause(aheadMs);
  }
}
