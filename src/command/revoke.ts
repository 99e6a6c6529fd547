import { identitySchema, type IdentityConfig } from '../config/identity.ts';
import { relaySchema, type RelayConfig } from '../config/relay.ts';
import type { AdminClient } from '../identity/admin/admin-client.ts';
import { revokeKey } from '../identity/operator/key-commands.ts';
import { revoke, revokeOfForeignIssuer } from '../identity/operator/session-commands.ts';
import { revokeForeign } from '../receivers/operator-commands.ts';
import { publishRevocations } from '../publisher/ownerless-log.ts';
import type { RevocationKind } from '../revocation-log/event.ts';
import { asFault } from '../redis/connection.ts';
import { absentLog, openLogReader } from '../revocation/redis-log-reader.ts';
import { ConfigFault, loadConfig } from '../runtime/config.ts';
import type { EpochSeconds } from '../runtime/clock.ts';
import { Fault } from '../runtime/fault.ts';
import { adminOptions, adminUsage, answerOf, readAdminTarget } from './admin-target.ts';
import {
  optionalText,
  parseCommandLine,
  requiredOption,
  unknownWord,
  usageFault,
  type Command,
} from './command.ts';
import { shortened } from './event-line.ts';
import { readRedisTarget } from './log-target.ts';
import { readPastTime } from './past-time.ts';

const kinds = ['session', 'token', 'subject', 'client', 'key'] as const;
const cutOffKinds: ReadonlySet<string> = new Set(['subject', 'client', 'everything']);

type Order = {
  kind: (typeof kinds)[number] | 'everything';
  id: string;
  issuer: string | undefined;
  issuedBefore: EpochSeconds | undefined;
  reason: string | undefined;
};

type Outcome = { isPublished: boolean; seq: number | undefined; log: string; sessionsEnded?: number };

export const revokeCommand: Command = {
  usage: [
    'revoke session|token|subject|client|key ID --config IDENTITY_OR_RELAY_FILE [--issuer ISS] [--issued-before TIME] [--reason WORD] [--json]',
    'revoke everything --issuer ISS --yes --config IDENTITY_OR_RELAY_FILE [--issued-before TIME] [--reason WORD] [--json]',
    'revoke … --redis URL [--log NAME] …        (instead of --config, on a log without an owner)',
    ...adminUsage,
  ],
  run: async (args, { print, warn }) => {
    const text = { type: 'string' } as const;
    const flag = { type: 'boolean' } as const;
    const parsed = parseCommandLine(
      args,
      {
        ...adminOptions,
        redis: text,
        log: text,
        issuer: text,
        'issued-before': text,
        reason: text,
        yes: flag,
        json: flag,
      },
      { min: 1, max: 2 },
    );
    const order = readOrder(parsed.positionals, {
      issuer: optionalText(parsed, 'issuer'),
      issuedBefore: optionalText(parsed, 'issued-before'),
      reason: optionalText(parsed, 'reason'),
      isConfirmed: parsed.values['yes'] === true,
    });
    const url = optionalText(parsed, 'redis');
    const logName = optionalText(parsed, 'log');
    if (url !== undefined && parsed.values['config'] !== undefined)
      throw usageFault('use either --redis or --config, not both');
    if (url === undefined && logName !== undefined) throw usageFault('--log requires --redis');
    const admin = readAdminTarget(parsed);
    if (url !== undefined && admin !== undefined) throw usageFault('use either --redis or --admin, not both');
    const outcome = await (admin !== undefined
      ? revokeOverApi(admin, order)
      : url === undefined
        ? revokeWithOwner(order, requiredOption(parsed, 'config'))
        : publish(order, readRedisTarget(url, logName)));
    const { isPublished, seq, log, sessionsEnded } = outcome;
    const what =
      order.kind === 'everything'
        ? `everything of ${order.issuer ?? ''}`
        : `${order.kind} ${shortened(order.id)}`;
    const ended = sessionsEnded === undefined || sessionsEnded === 0 ? '' : `, ${sessionsEnded} ended here`;
    if (parsed.values['json'] === true)
      print(JSON.stringify({ published: isPublished, seq, log, sessionsEnded }));
    else if (isPublished) print(`${what} revoked, seq ${seq ?? '?'}, log ${log}${ended}`);
    else
      warn(
        `${what}: recorded, but not yet published${ended}: check that the owner of log ${log} and Redis are running`,
      );
    return isPublished ? 0 : 1;
  },
};

type Options = {
  issuer: string | undefined;
  issuedBefore: string | undefined;
  reason: string | undefined;
  isConfirmed: boolean;
};

function readOrder([kindText = '', id = '']: readonly string[], options: Options): Order {
  const { issuer, issuedBefore, reason, isConfirmed } = options;
  const kind = kindText === 'everything' ? kindText : kinds.find((candidate) => candidate === kindText);
  if (kind === undefined) throw unknownWord(`revoke ${kindText}`, [...kinds, 'everything']);
  if (kind === 'everything') {
    if (id !== '') throw usageFault('revoke everything takes no id');
    if (issuer === undefined || !isConfirmed)
      throw usageFault('revoke everything requires --issuer ISS and --yes');
  } else if (id === '') throw usageFault(`revoke ${kind} requires an id`);
  if (issuedBefore !== undefined && !cutOffKinds.has(kind))
    throw usageFault(`--issued-before is only for ${[...cutOffKinds].join(', ')}`);
  return {
    kind,
    id,
    issuer,
    issuedBefore: issuedBefore === undefined ? undefined : readPastTime('--issued-before', issuedBefore),
    reason,
  };
}

type Owner = { program: 'identity'; config: IdentityConfig } | { program: 'relay'; config: RelayConfig };

/**
 * Reads the configuration of identity or of the relay. If it is neither, the problems of the closer schema
 * are thrown.
 */
function loadOwner(file: string): Owner {
  try {
    return { program: 'identity', config: loadConfig({ schema: identitySchema, file }) };
  } catch (asIdentity) {
    try {
      return { program: 'relay', config: loadConfig({ schema: relaySchema, file }) };
    } catch (asRelay) {
      throw problemCount(asIdentity) <= problemCount(asRelay) ? asIdentity : asRelay;
    }
  }
}

const problemCount = (thrown: unknown): number =>
  thrown instanceof ConfigFault ? thrown.problems.length : 0;

async function revokeWithOwner(order: Order, file: string): Promise<Outcome> {
  const owner = loadOwner(file);
  const { log } = owner.config.revocation;
  if (owner.program === 'relay') {
    const iss = chooseIssuer(namesOf(owner.config.issuers), order.issuer);
    return { ...(await revokeForeign(owner.config, { ...requestOf(order), iss })), log };
  }
  const { issuer: own, foreignIssuers: issuers } = owner.config;
  const iss = chooseIssuer([own, ...namesOf(issuers)], order.issuer);
  if (iss !== own)
    return { ...(await revokeOfForeignIssuer(owner.config, { ...requestOf(order), iss })), log };
  const { kind, id, reason, issuedBefore } = order;
  if (kind === 'key') return { ...(await revokeKey(owner.config, id, reason)), log };
  const target = kind === 'everything' ? { kind } : { kind, id };
  const { isPublished, seq, removed } = await revoke(owner.config, target, { reason, issuedBefore });
  return { isPublished, seq, log, sessionsEnded: removed.length };
}

const namesOf = (issuers: readonly { readonly issuer: string }[]): string[] =>
  issuers.map(({ issuer }) => issuer);

/** Revokes over the administration API. `--issuer`, if given, must be the issuer of that identity. */
async function revokeOverApi(admin: AdminClient, order: Order): Promise<Outcome> {
  const { kind, id, issuer, issuedBefore, reason } = order;
  if (issuer !== undefined) chooseIssuer([answerOf(await admin.issuer())], issuer);
  const answer = answerOf(
    await admin.revoke({
      kind,
      ...(kind === 'everything' ? {} : { id }),
      ...(issuedBefore === undefined ? {} : { issuedBefore: new Date(issuedBefore * 1000).toISOString() }),
      ...(reason === undefined ? {} : { reason }),
    }),
  );
  const { published: isPublished, seq, log, sessionsEnded } = answer;
  return { isPublished, seq, log, sessionsEnded };
}

/**
 * Publishes to a log without an owner. Only the owner of a log may write to it; the fencing epoch refuses
 * others.
 */
async function publish(order: Order, target: ReturnType<typeof readRedisTarget>): Promise<Outcome> {
  const { redis, logName } = target;
  const reader = await openLogReader(redis, logName);
  try {
    const read = await reader.head();
    if (read.kind !== 'head')
      throw new Fault(
        'ERR_LOG_INVALID',
        read.kind === 'absent'
          ? absentLog(redis, logName)
          : `the head of the log is malformed: ${read.field}`,
      );
    const { truth, owner, covers } = read.head;
    if (truth === 'owner')
      throw new Fault(
        'ERR_LOG_OWNED_BY_OTHER',
        `the revocation log "${logName}" belongs to owner ${owner}: use --config with the owner's configuration file`,
      );
    const iss = chooseIssuer(covers, order.issuer);
    const seq = await publishRevocations(reader.client, logName, [{ ...requestOf(order), iss }]);
    return { isPublished: true, seq, log: logName };
  } catch (thrown) {
    throw asFault(thrown, redis);
  } finally {
    reader.close();
  }
}

function requestOf({ kind, id, issuedBefore, reason = 'operator' }: Order) {
  const target: { kind: RevocationKind; id?: string } =
    kind === 'everything' ? { kind: 'issuer' } : { kind, id };
  return { ...target, reason, ...(issuedBefore === undefined ? {} : { at: issuedBefore }) };
}

function chooseIssuer(configured: readonly string[], asked: string | undefined): string {
  const [only] = configured;
  if (asked === undefined) {
    if (only !== undefined && configured.length === 1) return only;
    throw unknownWord('--issuer is missing', configured);
  }
  if (configured.includes(asked)) return asked;
  throw unknownWord(`--issuer ${asked} is not configured`, configured);
}
