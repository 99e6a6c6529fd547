import type { Clock } from '../../runtime/clock.ts';
import type { Part } from '../../runtime/lifecycle.ts';
import type { Log } from '../../runtime/log.ts';
import type { RemovedGrant } from '../store/grant-store.ts';
import { sidOf } from './logout-sid.ts';

/** Notifies a client that a session ended; without `sid`, that all sessions of the subject ended. */
export type LogoutNotice = { clientId: string; subject: string; sid: string | undefined };

/** Notifies clients of sessions that ended, in the background. Each notice is sent once, without retries. */
export type LogoutNotices = Part & {
  /** Call after the commit that removed the grants. Cost: memory only. */
  add(removed: readonly RemovedGrant[]): void;
};

export type LogoutNoticesOptions = {
  /** The clients to notify, and whether their notices name the session. */
  clients: ReadonlyMap<string, { isSessionNamed: boolean }>;
  /** Sends a notice. Settles in bounded time and rejects when the client did not accept the notice. */
  send(notice: LogoutNotice): Promise<void>;
  clock: Clock;
  log: Log;
  /** Most concurrent requests. Default 8. */
  maxConcurrent?: number;
  /** Most notices that wait; further notices are dropped. Default 10,000. */
  maxWaiting?: number;
  /** How long a stop waits for notices that are being sent; ms. Default 5 s. */
  lastMs?: number;
};

/**
 * After so many failures in a row, a client gets no notices for a while, so that it does not delay the
 * others.
 */
const failuresInARow = 3;
const suspendedMs = 30_000;

type Failures = { count: number; lastMs: number };

export function createLogoutNotices(options: LogoutNoticesOptions): LogoutNotices {
  const { clients, log, maxConcurrent = 8, maxWaiting = 10_000, lastMs = 5000 } = options;
  const send = createSender(options);
  const waiting: LogoutNotice[] = [];
  const running = new Set<Promise<void>>();

  function pump(): void {
    while (running.size < maxConcurrent) {
      const notice = waiting.shift();
      if (notice === undefined) return;
      const task = send(notice).then(() => {
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
        log.warn('logout notices dropped: too many are waiting', { count: notices.length - room });
      pump();
    },
    start: () => undefined,
    stop: async () => {
      await untilEmpty(running, lastMs);
      if (waiting.length > 0) log.warn('logout notices dropped: stopping', { count: waiting.length });
      waiting.length = 0;
    },
  };
}

/** Sends notices, logs the results and skips suspended clients. Never rejects. */
function createSender({ send, clock, log }: LogoutNoticesOptions): (notice: LogoutNotice) => Promise<void> {
  const failures = new Map<string, Failures>();

  function isSuspended(clientId: string): boolean {
    const { count, lastMs } = failures.get(clientId) ?? { count: 0, lastMs: 0 };
    return count >= failuresInARow && clock.monotonicMs() - lastMs < suspendedMs;
  }

  return async (notice) => {
    const { clientId: client } = notice;
    if (isSuspended(client)) {
      log.debug('logout notice dropped: the client failed a moment ago', { client });
      return;
    }
    try {
      await send(notice);
      failures.delete(client);
      log.info('logout notice sent', { client });
    } catch (thrown) {
      const attempt = (failures.get(client)?.count ?? 0) + 1;
      failures.set(client, { count: attempt, lastMs: clock.monotonicMs() });
      log.warn('logout notice failed', { client, attempt, err: thrown });
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

/** One notice for each session, or one for each subject if the client's notices don't name sessions. */
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
