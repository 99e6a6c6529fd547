import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import type { EpochSeconds } from '../runtime/clock.ts';
import { Fault, type FaultCode } from '../runtime/fault.ts';
import type { RevocationKind } from '../revocation-log/event.ts';
import { logKeys } from '../revocation-log/keys.ts';
import { logRetentionSeconds } from './retention.ts';

const createScript = readFileSync(new URL('./create.lua', import.meta.url), 'utf8');

/** The script with which third-party code publishes; its first lines document it. */
export const publishScript = readFileSync(new URL('./publish.lua', import.meta.url), 'utf8');

export type NewLog = {
  readonly logName: string;
  /** The issuers that the log covers, 1 to 1000. */
  readonly issuers: readonly string[];
  /** How far the issuers' clocks may be ahead of the clock of Redis; ms. */
  readonly clockToleranceMs: number;
  /** Longest lifetime of their tokens; ms. It decides the retention, together with the tolerance. */
  readonly maxTokenLifetimeMs: number;
};

export type CreateOutcome =
  | { readonly kind: 'created'; readonly owner: string; readonly epoch: number; readonly seq: number }
  /** The log exists already, and nothing was changed. */
  | { readonly kind: 'exists' };

/** As `RevocationEvent`. Without `at`, the cut-off is the time of Redis plus the log's tolerance. */
export type PublishRequest = {
  readonly iss: string;
  readonly kind: RevocationKind;
  readonly id?: string;
  readonly at?: EpochSeconds;
  readonly reason?: string;
};

/**
 * Creates a log without an owner, which exists in Redis alone. It starts with a cut-off for each issuer, so
 * every token that was issued before is refused and every client has to refresh once. A log whose entries
 * vanished is created again.
 */
export async function createOwnerlessLog(client: Redis, log: NewLog): Promise<CreateOutcome> {
  // A new owner each time, so that readers discard what they know of an earlier log with the same name.
  const owner = `redis-${randomUUID()}`;
  const reply: unknown = await client.eval(
    createScript,
    1,
    logKeys(log.logName).head,
    owner,
    JSON.stringify(log.issuers),
    logRetentionSeconds(log),
    log.clockToleranceMs,
    ...log.issuers,
  );
  const [kind, epoch, seq] = Array.isArray(reply) ? reply.map(String) : [];
  if (kind === 'created') return { kind, owner, epoch: Number(epoch), seq: Number(seq) };
  if (kind === 'exists') return { kind };
  throw new Fault('ERR_LOG_INVALID', 'create.lua gave an unexpected reply');
}

const refusals: Readonly<Record<string, FaultCode>> = {
  NOLOG: 'ERR_LOG_INVALID',
  OWNED: 'ERR_LOG_OWNED_BY_OTHER',
  HELD: 'ERR_LOG_OWNED_BY_OTHER',
  BADEVENT: 'ERR_REVOCATION_INVALID',
};

/**
 * Publishes revocations on a log without an owner: either all of them or none.
 * @param events 1 to 500
 * @returns the sequence number of the last event
 * @throws ERR_LOG_INVALID, ERR_LOG_OWNED_BY_OTHER, ERR_REVOCATION_INVALID, and errors of Redis. After an
 * error of Redis the events may be in the log. Publishing them again does no harm.
 */
export async function publishRevocations(
  client: Redis,
  logName: string,
  events: readonly PublishRequest[],
): Promise<number> {
  const texts = events.map((event) => JSON.stringify(event));
  try {
    return Number(await client.eval(publishScript, 1, logKeys(logName).head, ...texts));
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : '';
    const [word = ''] = message.split(' ', 1);
    const code = Object.hasOwn(refusals, word) ? refusals[word] : undefined;
    if (code === undefined) throw thrown;
    throw new Fault(code, message.slice(word.length + 1));
  }
}
