import { createRevocationFeed } from '../revocation/redis-feed.ts';
import type { FeedIssuer, FeedEvent, FeedStatus, RevocationFeed } from '../revocation/feed.ts';
import { absentLog, openLogReader } from '../revocation/redis-log-reader.ts';
import { pause } from '../redis/back-off.ts';
import { systemClock } from '../runtime/clock.ts';
import { createLog } from '../runtime/log.ts';
import { createAuthorizerMetrics, createRegistry } from '../runtime/metrics.ts';
import { parseCommandLine, type Command, type CommandOutput } from './command.ts';
import { eventLine, printable } from './event-line.ts';
import { logTargetOptions, logTargetUsage, readLogTarget, type LogTarget } from './log-target.ts';

const pollEveryMs = 1000;
const defaultMaxExposureMs = 30_000;
const defaultMaxEntries = 200_000;
const defaultToleranceSeconds = 5;

export const watchCommand: Command = {
  usage: [`watch ${logTargetUsage} [--json]`],
  run: async (args, output) => {
    const parsed = parseCommandLine(
      args,
      { ...logTargetOptions, json: { type: 'boolean' } },
      { min: 0, max: 0 },
    );
    const target = readLogTarget(parsed);
    const asJson = parsed.values['json'] === true;
    const ending = new AbortController();
    const end = (): void => ending.abort();
    process.once('SIGINT', end).once('SIGTERM', end);
    try {
      const issuers = await findIssuers(target, ending.signal, output);
      if (issuers !== undefined) await follow(target, issuers, ending.signal, asJson, output);
    } finally {
      process.off('SIGINT', end).off('SIGTERM', end);
    }
    return 0;
  },
};

/**
 * The authorizer's issuers, or else all that the log covers. Waits until the log exists; undefined if the
 * command ends before that.
 */
async function findIssuers(
  target: LogTarget,
  signal: AbortSignal,
  { warn }: CommandOutput,
): Promise<readonly FeedIssuer[] | undefined> {
  const { authorizer, redis, logName } = target;
  if (authorizer !== undefined)
    return authorizer.issuers
      .filter(({ revocation }) => revocation === 'required')
      .map(({ issuer, clockTolerance }) => ({ issuer, clockToleranceSeconds: clockTolerance / 1000 }));
  const reader = await openLogReader(redis, logName);
  try {
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      const read = await reader.head();
      if (read.kind === 'head')
        return read.head.covers.map((issuer) => ({ issuer, clockToleranceSeconds: defaultToleranceSeconds }));
      if (isFirst) warn(absentLog(redis, logName));
      await pause(pollEveryMs, signal);
    }
    return undefined;
  } finally {
    reader.close();
  }
}

async function follow(
  target: LogTarget,
  issuers: readonly FeedIssuer[],
  signal: AbortSignal,
  asJson: boolean,
  { print }: CommandOutput,
): Promise<void> {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  const describe = createDescription(asJson);
  const feed = createFeed(target, issuers, (observation) => {
    const line = describe(observation);
    if (line !== undefined) print(line);
  });
  await feed.start();
  if (!signal.aborted) await ended;
  await feed.stop();
}

function createFeed(
  { redis, logName, authorizer }: LogTarget,
  issuers: readonly FeedIssuer[],
  onEvent: (event: FeedEvent) => void,
): RevocationFeed {
  return createRevocationFeed({
    redis,
    logName,
    issuers,
    maxExposureMs: authorizer?.revocation?.maxExposure ?? defaultMaxExposureMs,
    maxEntries: authorizer?.revocation?.maxEntries ?? defaultMaxEntries,
    clock: systemClock,
    log: createLog({ program: 'watch', level: 'silent' }),
    metrics: createAuthorizerMetrics(createRegistry()),
    onEvent,
  });
}

/** Describes each event, and each change of the view's state; undefined if the state is as before. */
function createDescription(
  asJson: boolean,
  clock = systemClock,
): (observation: FeedEvent) => string | undefined {
  let before = '';
  return (observation) => {
    const time = new Date(clock.nowMs()).toISOString();
    if (observation.kind === 'event') {
      const { via, seq, event } = observation;
      return asJson
        ? JSON.stringify({ time, kind: 'event', via, seq, event })
        : `${time}  ${eventLine(event, seq)}${via === 'message' ? '' : `  [${via}]`}`;
    }
    const { status } = observation;
    const state = stateLine(status);
    if (state === before) return undefined;
    before = state;
    if (!asJson) return `${time}  ${state}`;
    const { lastEvents: _, ...rest } = status;
    return JSON.stringify({ time, kind: 'status', ...rest });
  };
}

function stateLine(status: FeedStatus): string {
  const { state, connected, address, log, owner, truth, epoch, covers, unproven } = status;
  if (!connected) return `${state}: no connection to ${address}`;
  if (owner === undefined) return `${state}: no log "${log}" at ${address}`;
  const lacking = unproven.map(({ issuer, cause }) => `, not ${printable(issuer)} (${cause})`).join('');
  return `${state}: log "${log}", owner ${printable(owner)}, truth ${truth ?? '?'}, epoch ${epoch ?? '?'}, covers ${covers.map(printable).join(', ')}${lacking}`;
}
