import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A TCP link to PostgreSQL that fails in ways a real one does. */
export type PostgresLink = {
  /** The URL of a database, through this link. */
  through(url: string): string;
  /** Where new connections lead. */
  port: number;
  /**
   * The next statement that contains this text reaches the server; its answer is lost, and the connection
   * with it.
   */
  loseAnswerTo(text: string): Promise<void>;
  /** From now on nothing passes, on old connections and on new ones; they stay open. */
  hang(): void;
  /** Lets pass what was held, and all that follows. */
  resume(): void;
  /** Ends the connections there are. */
  cut(): void;
};

export async function startPostgresLink(port: number): Promise<PostgresLink> {
  const sockets = new Set<Socket>();
  let wanted: { text: string; lost: () => void } | undefined;
  let isHanging = false;
  const server = createServer((client) => {
    const database = createConnection({ host: '127.0.0.1', port: link.port });
    let isDeaf: (() => void) | undefined;
    for (const socket of [client, database]) {
      sockets.add(socket);
      socket.setNoDelay();
      socket.on('error', () => {});
      socket.on('close', () => {
        client.destroy();
        database.destroy();
        sockets.delete(socket);
      });
      if (isHanging) socket.pause();
    }
    client.on('data', (chunk: Buffer) => {
      if (wanted !== undefined && chunk.includes(wanted.text)) {
        isDeaf = wanted.lost;
        wanted = undefined;
      }
      database.write(chunk);
    });
    database.on('data', (chunk: Buffer) => {
      if (isDeaf === undefined) return void client.write(chunk);
      client.destroy();
      isDeaf();
    });
    if (isHanging) for (const socket of [client, database]) socket.pause();
  });
  const link: PostgresLink = {
    port,
    through: (url) => {
      const through = new URL(url);
      through.port = String((server.address() as AddressInfo).port);
      return through.href;
    },
    loseAnswerTo: (text) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      wanted = { text, lost: resolve };
      return promise;
    },
    hang: () => {
      isHanging = true;
      for (const socket of sockets) socket.pause();
    },
    resume: () => {
      isHanging = false;
      for (const socket of sockets) socket.resume();
    },
    cut: () => {
      for (const socket of sockets) socket.destroy();
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
