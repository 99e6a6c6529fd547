import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A TCP proxy in front of Redis that can inject faults. */
export type Link = {
  readonly url: string;
  /** Where new connections lead. */
  port: number;
  /** Drops this many published messages from the data that Redis sends. */
  dropMessages(count: number): void;
  /** The number of dropped messages. */
  dropped(): number;
  /** Stops reading from Redis on existing connections. New connections work. */
  stall(): void;
  /** Closes the existing connections. */
  cut(): void;
};

export async function startLink(port: number): Promise<Link> {
  const pairs = new Set<{ client: Socket; redis: Socket }>();
  let toDrop = 0;
  let dropped = 0;
  const server = createServer((client) => {
    const redis = createConnection({ host: '127.0.0.1', port: link.port });
    const pair = { client, redis };
    pairs.add(pair);
    for (const socket of [client, redis]) {
      socket.setNoDelay();
      socket.on('error', () => {});
      socket.on('close', () => {
        client.destroy();
        redis.destroy();
        pairs.delete(pair);
      });
    }
    client.pipe(redis);
    redis.on('data', (chunk: Buffer) => {
      const text = chunk.toString('latin1');
      const message = toDrop > 0 ? findMessage(text) : undefined;
      if (message === undefined) return void client.write(chunk);
      toDrop -= 1;
      dropped += 1;
      client.write(text.slice(0, message.start) + text.slice(message.end), 'latin1');
    });
  });
  const link: Link = {
    get url() {
      return `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
    },
    port,
    dropMessages: (count) => (toDrop = count),
    dropped: () => dropped,
    stall: () => {
      for (const { redis } of pairs) redis.pause();
    },
    cut: () => {
      for (const { redis } of pairs) redis.destroy();
    },
  };
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  onTestFinished(() => {
    link.cut();
    server.close();
  });
  return link;
}

/** The position of a complete published message in the data of Redis (RESP3: a push of three elements). */
function findMessage(text: string): { start: number; end: number } | undefined {
  const found = />3\r\n\$7\r\nmessage\r\n\$\d+\r\n[^\r]*\r\n\$(?<bytes>\d+)\r\n/.exec(text);
  if (found === null) return undefined;
  const end = found.index + found[0].length + Number(found.groups?.['bytes']) + 2;
  return end <= text.length ? { start: found.index, end } : undefined;
}
