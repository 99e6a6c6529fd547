import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { createRevocationFeed } from '../../src/revocation/redis-feed.ts';
import type { FeedStatus, RevocationFeed } from '../../src/revocation/feed.ts';
import type { RevocationFinding } from '../../src/revocation/revocable.ts';
import type { RedisOptions } from '../../src/redis/connection.ts';
import { outboxMigrations } from '../../src/publisher/outbox.ts';
import { createPublisher, type Publisher } from '../../src/publisher/publisher.ts';
import { migrate, openDatabase } from '../../src/database/database.ts';
import { systemClock, type Clock } from '../../src/runtime/clock.ts';
import { createLog, type Log } from '../../src/runtime/log.ts';
import { createAuthorizerMetrics, createOwnerMetrics, Registry } from '../../src/runtime/metrics.ts';
import { outputFile } from '../output.ts';
import { eventually } from '../processes.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';
import { temporaryDirectory } from '../temporary.ts';
import type { Revoked } from './witness.ts';

// The real publisher and the real feed, in this process, with real servers. The end of the test stops them.

export const issuer = 'https://identity.test';
export const logName = 'curfew';
export const maxExposureMs = 10_000;
export const maxTokenLifetimeMs = 60_000;
const clockToleranceMs = 1000;

export type Owner = {
  readonly publisher: Publisher;
  /** Records revocations of sessions in one transaction and wakes the leader. */
  revoke(...sessions: readonly string[]): Promise<Revoked[]>;
  untilLeading(): Promise<void>;
};

type Finding = RevocationFinding['kind'];

export type Sidecar = {
  readonly feed: RevocationFeed;
  status(): FeedStatus;
  /** The finding for a token of a session that was issued at this wall-clock time. */
  evaluate(session: string, issuedAtMs: number): Finding;
  knows(session: string): boolean;
  untilLive(timeoutMs?: number): Promise<void>;
  untilKnows(revoked: readonly Revoked[], timeoutMs?: number): Promise<void>;
};

/** A Redis that the end of the test stops. */
export async function ownRedis(args: readonly string[] = []): Promise<RedisServer> {
  const redis = await startRedis(args);
  onTestFinished(() => redis.stop());
  return redis;
}

function logTo(name: string): Log {
  const file = outputFile(name);
  const write = (line: string): void => appendFileSync(file, line);
  return createLog({ program: name, level: 'debug', destination: { write } });
}

/** Starts an owner of the log with a new database. */
export async function startOwner(redis: RedisOptions): Promise<Owner> {
  const database = openDatabase({ sqlite: join(temporaryDirectory(), 'owner.db') });
  await migrate(database, [outboxMigrations]);
  const publisher = createPublisher({
    database,
    redis,
    logName,
    issuers: [{ issuer, clock: 'own', maxTokenLifetimeMs }],
    clockToleranceMs,
    clock: systemClock,
    log: logTo('owner'),
    metrics: createOwnerMetrics(new Registry()),
  });
  await publisher.start();
  onTestFinished(async () => {
    await publisher.stop();
    await database.close();
  });
  return {
    publisher,
    revoke: async (...sessions) => {
      await database.db.transaction().execute(async (trx) => {
        const events = sessions.map((id) => ({ iss: issuer, kind: 'session' as const, id }));
        await publisher.recordEvents(trx, events);
      });
      publisher.wake();
      const committedMs = performance.now();
      return sessions.map((session) => ({ session, committedMs }));
    },
    untilLeading: async () => {
      await eventually('the owner leads', () => publisher.status().role === 'leading' || undefined, 20_000);
    },
  };
}

/** Starts a sidecar's view of the log. */
export function startSidecar(redis: RedisOptions, options: { clock?: Clock; issuer?: string } = {}): Sidecar {
  const { clock = systemClock, issuer: trusted = issuer } = options;
  const feed = createRevocationFeed({
    redis,
    logName,
    issuers: [{ issuer: trusted, clockToleranceSeconds: clockToleranceMs / 1000 }],
    maxExposureMs,
    maxEntries: 200_000,
    clock,
    log: logTo('sidecar'),
    metrics: createAuthorizerMetrics(new Registry()),
  });
  void feed.start();
  onTestFinished(() => feed.stop());
  const evaluate = (session: string, issuedAtMs: number): Finding =>
    evaluateToken(feed, { session, issuer: trusted, issuedAtMs }, clock);
  const knows = (session: string): boolean => evaluate(session, clock.nowMs()) === 'revoked';
  return {
    feed,
    evaluate,
    status: () => feed.status(),
    knows,
    untilLive: async (timeoutMs = 30_000) => {
      await eventually('the view is live', () => feed.status().state === 'live' || undefined, timeoutMs);
    },
    untilKnows: async (revoked, timeoutMs = 30_000) => {
      let at = 0;
      await eventually(
        `the view knows ${revoked.length} revocations`,
        () => {
          while (at < revoked.length && knows(revoked[at]?.session ?? '')) at += 1;
          return at === revoked.length || undefined;
        },
        timeoutMs,
      );
    },
  };
}

function evaluateToken(
  feed: RevocationFeed,
  { session, issuer: iss, issuedAtMs }: { session: string; issuer: string; issuedAtMs: number },
  clock: Clock,
): Finding {
  const issuedAt = Math.floor(issuedAtMs / 1000);
  const token = {
    issuer: iss,
    subject: 'somebody',
    session,
    tokenId: undefined,
    clientIds: [],
    keyNames: ['key'],
    issuedAt,
    expiresAt: issuedAt + maxTokenLifetimeMs / 1000,
  };
  const limits = { maxExposureMs, clockToleranceSeconds: clockToleranceMs / 1000 };
  return feed.revocations.evaluate(token, limits, clock.nowMs()).kind;
}

/** An owner that leads and a sidecar that is live, on one Redis. */
export async function startPair(redis: RedisOptions): Promise<{ owner: Owner; sidecar: Sidecar }> {
  const owner = await startOwner(redis);
  const sidecar = startSidecar(redis);
  await owner.untilLeading();
  await sidecar.untilLive();
  return { owner, sidecar };
}

/** Names of sessions, unlike any others of the run. */
export function sessionNames(count: number, prefix = 'session'): string[] {
  nameSets += 1;
  return Array.from({ length: count }, (_, index) => `${prefix}-${nameSets}-${index}`);
}
let nameSets = 0;
