import type { Clock } from '../../runtime/clock.ts';
import type { Part } from '../../runtime/lifecycle.ts';
import type { Log } from '../../runtime/log.ts';
import type { RemovedGrant } from '../store/grant-store.ts';
import { sidOf } from './logout-sid.ts';

/** What a client is told: this session ended, or, without `sid`, all of the subject's. */
export type LogoutNotice = { clientId: string; subject: string; sid: string | undefined };

/** Tells clients of sessions that ended, in the background: once, as far as they answer. */
export type LogoutNotices = Part & {
  /** To be called after the commit that removed them. Costs nothing but memory. */
  add(removed: readonly RemovedGrant[]): void;
};

export type LogoutNoticesOptions = {
  /** The clients that want to be told, and whether each session is named to them. */
  clients: ReadonlyMap<string, { isSessionNamed: boolean }>;
  /** Rejects when the client wasn't told; in bounded time. */
  tell(notice: LogoutNotice): Promise<void>;
  clock: Clock;
  log: Log;
  /** Requests at once. Default 8. */
  maxConcurrent?: number;
  /** Most that wait; beyond, clients aren't told. Default 10 000. */
  maxWaiting?: number;
  /** How long a stop goes on telling; ms. Default 5 s. */
  lastMs?: number;
};

/** A client that failed so often in a row isn't told anything for a while: others wait behind it. */
const failuresInARow = 3;
const givenUpMs = 30_000;

type Failures = { count: number; lastMs: number };

export function createLogoutNotices(options: LogoutNoticesOptions): LogoutNotices {
  const { clients, log, maxConcurrent = 8, maxWaiting = 10_000, lastMs = 5000 } = options;
  const tell = createTeller(options);
  const waiting: LogoutNotice[] = [];
  const running = new Set<Promise<void>>();

  function pump(): void {
    while (running.size < maxConcurrent) {
      const notice = waiting.shift();
      if (notice === undefined) return;
      const task = tell(notice).then(() => {
        running.delete(task);
        pump();
      });
      running.add(task);
    }
  }

  return {
    name: 'logout notices',
    add: (removed) => {
      const notices = noticesOf(removed, clients);
      const room = Math.max(0, maxWaiting - waiting.length);
      waiting.push(...notices.slice(0, room));
      if (notices.length > room)
        log.warn('clients not told of logouts: too many at once', { count: notices.length - room });
      pump();
    },
    start: () => undefined,
    stop: async () => {
      await untilEmpty(running, lastMs);
      if (waiting.length > 0) log.warn('clients not told of logouts: stopped', { count: waiting.length });
      waiting.length = 0;
    },
  };
}

/** Tells, logs what came of it, and leaves out who failed several times in a row. Never rejects. */
function createTeller({ tell, clock, log }: LogoutNoticesOptions): (notice: LogoutNotice) => Promise<void> {
  const failures = new Map<string, Failures>();

  function isGivenUp(clientId: string): boolean {
    const { count, lastMs } = failures.get(clientId) ?? { count: 0, lastMs: 0 };
    return count >= failuresInARow && clock.monotonicMs() - lastMs < givenUpMs;
  }

  return async (notice) => {
    const { clientId: client } = notice;
    if (isGivenUp(client)) {
      log.debug('client not told of a logout: it failed a moment ago', { client });
      return;
    }
    try {
      await tell(notice);
      failures.delete(client);
      log.info('client told of a logout', { client });
    } catch (thrown) {
      const attempt = (failures.get(client)?.count ?? 0) + 1;
      failures.set(client, { count: attempt, lastMs: clock.monotonicMs() });
      log.warn('client not told of a logout', { client, attempt, err: thrown });
    }
  };
}

async function untilEmpty(running: ReadonlySet<Promise<void>>, timeoutMs: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(true), timeoutMs);
  let isLate = false;
  while (running.size > 0 && !isLate)
    isLate = await Promise.race([...[...running].map((task) => task.then(() => false)), late]);
  clearTimeout(timer);
}

/** One for each session, or for each person where the client doesn't tell sessions apart. */
function noticesOf(
  removed: readonly RemovedGrant[],
  clients: LogoutNoticesOptions['clients'],
): readonly LogoutNotice[] {
  const notices = new Map<string, LogoutNotice>();
  for (const { id, accountId: subject, clientId } of removed) {
    const client = clients.get(clientId);
    if (client === undefined) continue;
    const sid = client.isSessionNamed ? sidOf(id) : undefined;
    notices.set(JSON.stringify([clientId, subject, sid]), { clientId, subject, sid });
  }
  return [...notices.values()];
}
