import type { Connection } from './connection.ts';
import { nowUs, type Outcome } from './connection.ts';
import { connectGrpc } from './grpc.ts';
import { connectHttp } from './http1.ts';
import { Latencies } from './latencies.ts';
import type { Load, LoadResult, Mix, Target } from './messages.ts';

/** A pool's requests, ready to send, by protocol. */
export type Pool = Readonly<Record<Target['protocol'], readonly Buffer[]>>;

/** Chooses the next request's token: an index into the hot requests followed by the cold ones. */
export function createChooser(
  mix: Mix,
  coldTokens: number,
  position: { hot: number; cold: number },
): () => number {
  const coldOfTen = coldTokens === 0 ? 0 : (mix.coldOfTen ?? 0);
  let count = 0;
  return () => {
    count += 1;
    if (count % 10 < coldOfTen) {
      position.cold = (position.cold + 1) % coldTokens;
      return mix.hotTokens + position.cold;
    }
    position.hot = (position.hot + 1) % mix.hotTokens;
    return position.hot;
  };
}

const drainMs = 2000;

/** Runs one load to its end. Then waits for open requests, for two seconds at most. */
export async function drive(
  load: Load,
  requests: readonly Buffer[],
  chooseToken: () => number,
): Promise<LoadResult> {
  const latencies = new Latencies();
  const counts: Record<Outcome, number> = { allowed: 0, denied: 0, failed: 0 };
  let open = 0;
  let onAnswered: (connection: Connection) => void = () => {};

  const openConnection = async (): Promise<Connection> => {
    const holder: { connection?: Connection } = {};
    const answered = (startedUs: number, outcome: Outcome): void => {
      latencies.add(nowUs() - startedUs);
      counts[outcome] += 1;
      open -= 1;
      if (holder.connection !== undefined) onAnswered(holder.connection);
    };
    holder.connection = await connect(load, requests, answered);
    return holder.connection;
  };
  const connections = await Promise.all(
    Array.from({ length: load.target.protocol === 'http' ? load.concurrency : 1 }, openConnection),
  );
  const send = (connection: Connection, fromUs: number): void => {
    open += 1;
    connection.send(chooseToken(), fromUs);
  };

  const startedUs = nowUs();
  const endUs = startedUs + load.durationMs * 1000;
  const maxRequests = load.maxRequests ?? Infinity;
  if (load.ratePerSecond === undefined) {
    onAnswered = (connection) => {
      const now = nowUs();
      if (now >= endUs) return;
      // Otherwise a server that fails at once would get requests without end, within one call.
      if (counts.failed > 0) setImmediate(() => send(connection, nowUs()));
      else send(connection, now);
    };
    for (const connection of connections) while (connection.free > 0) send(connection, nowUs());
    await until(() => nowUs() >= endUs || latencies.count >= maxRequests);
  } else {
    // Requests that are due while every connection is busy wait, and their latency includes the wait.
    const due: number[] = [];
    onAnswered = (connection) => {
      const fromUs = due.shift();
      if (fromUs !== undefined) send(connection, fromUs);
    };
    await pace(load.ratePerSecond, endUs, (fromUs) => {
      const connection = due.length > 0 ? undefined : connections.find(({ free }) => free > 0);
      if (connection === undefined) due.push(fromUs);
      else send(connection, nowUs());
    });
    counts.failed += due.length;
  }
  onAnswered = () => {};
  const elapsedMs = (nowUs() - startedUs) / 1000;
  const requestsInTime = latencies.count;
  const giveUpUs = nowUs() + drainMs * 1000;
  await until(() => open === 0 || nowUs() > giveUpUs);
  for (const connection of connections) connection.close();
  return {
    requests: requestsInTime,
    elapsedMs,
    ...counts,
    failed: counts.failed + open,
    ...latencies.summary(),
  };
}

function connect(
  { target, concurrency }: Load,
  requests: readonly Buffer[],
  onAnswer: (startedUs: number, outcome: Outcome) => void,
): Promise<Connection> {
  if (target.protocol === 'http') return connectHttp(target.port, requests, onAnswer);
  return connectGrpc(target, requests, concurrency, onAnswer);
}

/** Sends the requests that are due, at most a millisecond late: the resolution of timers. */
async function pace(ratePerSecond: number, endUs: number, send: (dueUs: number) => void): Promise<void> {
  const gapUs = 1_000_000 / ratePerSecond;
  let dueUs = nowUs();
  await until(() => {
    for (const now = nowUs(); dueUs <= now && dueUs < endUs; dueUs += gapUs) send(dueUs);
    return nowUs() >= endUs;
  });
}

async function until(isOver: () => boolean): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setInterval(() => {
    if (!isOver()) return;
    clearInterval(timer);
    resolve();
  }, 1);
  await promise;
}
