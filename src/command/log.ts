import { createOwnerlessLog, publishScript, type NewLog } from '../publisher/ownerless-log.ts';
import { isIssuer, parseJson, readEvent } from '../revocation-log/event.ts';
import type { Head } from '../revocation-log/head.ts';
import { asFault, describeRedis } from '../redis/connection.ts';
import { absentLog, openLogReader, type LogEntry, type LogReader } from '../revocation/redis-log-reader.ts';
import { parseDurationMs } from '../runtime/config-values.ts';
import { Fault } from '../runtime/fault.ts';
import {
  optionalText,
  parseCommandLine,
  unknownWord,
  usageFault,
  type Command,
  type CommandOutput,
  type ParsedArguments,
} from './command.ts';
import { eventLine, printable } from './event-line.ts';
import { logTargetOptions, logTargetUsage, readLogTarget, type LogTarget } from './log-target.ts';

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;
type Verb = (args: readonly string[], output: CommandOutput) => Promise<number> | number;

const verbs: Record<string, Verb> = { create, show, script };

export const logCommand: Command = {
  usage: [
    `log create ${logTargetUsage} --issuer ISS [--issuer ISS …] [--tolerance 5s] [--max-token-lifetime 5m] [--if-absent] [--json]`,
    `log show ${logTargetUsage} [--limit 20] [--json]`,
    'log script                                  (prints the Lua script that publishes an event)',
  ],
  run: async ([name = '', ...args], output) => {
    const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
    if (verb === undefined) throw unknownWord(`log ${name}`, Object.keys(verbs));
    return verb(args, output);
  },
};

function script(args: readonly string[], { print }: CommandOutput): number {
  parseCommandLine(args, {}, { min: 0, max: 0 });
  print(publishScript.trimEnd());
  return 0;
}

async function withReader<T>(target: LogTarget, use: (reader: LogReader) => Promise<T>): Promise<T> {
  const reader = await openLogReader(target.redis, target.logName);
  try {
    return await use(reader);
  } catch (thrown) {
    throw asFault(thrown, target.redis);
  } finally {
    reader.close();
  }
}

async function create(args: readonly string[], output: CommandOutput): Promise<number> {
  const parsed = parseCommandLine(
    args,
    {
      ...logTargetOptions,
      issuer: { type: 'string', multiple: true },
      tolerance: text,
      'max-token-lifetime': text,
      'if-absent': flag,
      json: flag,
    },
    { min: 0, max: 0 },
  );
  const target = readLogTarget(parsed);
  const log = readNewLog(parsed, target.logName);
  return withReader(target, async ({ client, head }) => {
    const outcome = await createOwnerlessLog(client, log);
    if (outcome.kind === 'exists') return existing(await presentHead({ head }, target), log, parsed, output);
    const { owner, epoch, seq } = outcome;
    const at = describeRedis(target.redis);
    if (parsed.values['json'] === true)
      output.print(JSON.stringify({ created: true, log: log.logName, address: at, owner, epoch, seq }));
    else {
      const what = `log ${log.logName} created at ${at} for ${log.issuers.join(', ')}`;
      const effect = 'tokens issued until now are refused, so every client has to refresh once';
      output.print(`${what}: ${effect}`);
    }
    return 0;
  });
}

function readNewLog(parsed: ParsedArguments, logName: string): NewLog {
  const given = parsed.values['issuer'];
  const issuers = [...new Set(Array.isArray(given) ? given : [])];
  if (issuers.length === 0) throw usageFault('--issuer is missing');
  if (issuers.length > 1000) throw usageFault('a log covers at most 1000 issuers');
  if (!issuers.every((issuer) => isIssuer(issuer) && printable(issuer) === issuer))
    throw usageFault('--issuer must be 1 to 2048 printable characters');
  return {
    logName,
    issuers,
    clockToleranceMs: duration(parsed, 'tolerance', '5s', '1m'),
    maxTokenLifetimeMs: duration(parsed, 'max-token-lifetime', '5m', '1d'),
  };
}

function duration(parsed: ParsedArguments, option: string, byDefault: string, max: string): number {
  const ms = parseDurationMs(optionalText(parsed, option) ?? byDefault);
  if (ms === undefined || ms > (parseDurationMs(max) ?? 0))
    throw usageFault(`--${option} must be a duration of at most ${max}, such as ${byDefault}`);
  return ms;
}

/** Reports a log that exists already: a success with `--if-absent` if the log covers the issuers. */
function existing(head: Head, log: NewLog, parsed: ParsedArguments, { print, warn }: CommandOutput): number {
  const uncovered = log.issuers.filter((issuer) => !head.covers.includes(issuer));
  const isEnough = parsed.values['if-absent'] === true && uncovered.length === 0;
  const whose =
    head.truth === 'redis'
      ? `owner ${printable(head.owner)}, truth redis`
      : `owner ${printable(head.owner)}, which rebuilds it from a database`;
  const lack = uncovered.length === 0 ? '' : `; it does not cover ${uncovered.join(', ')}`;
  if (parsed.values['json'] === true)
    print(
      JSON.stringify({ created: false, log: log.logName, owner: head.owner, truth: head.truth, uncovered }),
    );
  else (isEnough ? print : warn)(`log ${log.logName} exists already (${whose}) and was not changed${lack}`);
  return isEnough ? 0 : 1;
}

/** @throws ERR_LOG_INVALID if the log is absent, or its head is malformed */
async function presentHead(reader: Pick<LogReader, 'head'>, { redis, logName }: LogTarget): Promise<Head> {
  const read = await reader.head();
  if (read.kind === 'head') return read.head;
  throw new Fault(
    'ERR_LOG_INVALID',
    read.kind === 'absent'
      ? absentLog(redis, logName)
      : `the head of the revocation log "${logName}" at ${describeRedis(redis)} is malformed: ${read.field}`,
  );
}

const maxShown = 10_000;
/** An owner sends a heartbeat every 500 ms. */
const heartbeatTimeoutMs = 2500;

async function show(args: readonly string[], { print, warn }: CommandOutput): Promise<number> {
  const parsed = parseCommandLine(args, { ...logTargetOptions, limit: text, json: flag }, { min: 0, max: 0 });
  const target = readLogTarget(parsed);
  const limitText = optionalText(parsed, 'limit') ?? '20';
  const limit = Number(limitText);
  if (!/^\d{1,5}$/.test(limitText) || limit > maxShown)
    throw usageFault(`--limit must be a number from 0 to ${maxShown}`);
  return withReader(target, async (reader) => {
    const head = await presentHead(reader, target);
    const entries = await reader.newest(head, limit);
    const beatMs = head.truth === 'owner' ? await reader.nextBeatMs(head, heartbeatTimeoutMs) : undefined;
    const { logName, redis } = target;
    if (parsed.values['json'] === true)
      print(
        JSON.stringify({
          log: logName,
          address: describeRedis(redis),
          ...head,
          isBeating: head.truth === 'owner' ? beatMs !== undefined : null,
          entries: entries.map(({ seq, member }) => ({ seq, event: parseJson(member) ?? null })),
        }),
      );
    else {
      print(`log ${logName} at ${describeRedis(redis)}`);
      for (const line of [...headLines(head, beatMs), ...entryLines(entries)]) print(line);
    }
    if (limit === 0 || entries.length > 0 || head.seq === 0) return 0;
    warn(
      `its entries are lost: ${head.truth === 'owner' ? 'its owner will rebuild it' : 'run curfew log create'}`,
    );
    return 1;
  });
}

function headLines(head: Head, beatMs: number | undefined): string[] {
  const { truth, owner, covers, epoch, seq, trimBelow, retentionSeconds } = head;
  return [
    `  owner      ${printable(owner)}`,
    `  truth      ${truth === 'owner' ? "the owner's database" : 'redis: lost if Redis loses it'}`,
    `  covers     ${covers.map(printable).join(', ')}`,
    `  epoch      ${epoch}`,
    `  seq        ${seq}${trimBelow > 1 ? ` (entries before ${trimBelow} have expired)` : ''}`,
    `  retention  ${retentionSeconds} s`,
    `  heartbeat  ${describeHeartbeat(head, beatMs)}`,
  ];
}

function describeHeartbeat({ truth, beat }: Head, beatMs: number | undefined): string {
  if (truth === 'redis') return 'none: this log has no owner';
  if (beatMs === undefined)
    return `${beat}, no other within ${heartbeatTimeoutMs} ms: check that the owner is running, and connected to Redis`;
  return `${beat}, advancing (the next came within ${beatMs} ms)`;
}

function entryLines(entries: readonly LogEntry[]): string[] {
  const lines = entries.map(({ seq, member }) => {
    const read = readEvent(parseJson(member));
    if (read.kind === 'event') return `  ${eventLine(read.event, seq)}`;
    return `  ${seq}  ${read.kind === 'malformed' ? 'malformed' : 'of a later format'}`;
  });
  return lines.length === 0 ? [] : ['', ...lines];
}
