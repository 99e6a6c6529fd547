import { once } from 'node:events';
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

export type Target = {
  readonly port: number;
  /** The server's authority, and a client's certificate from it; PEM. */
  readonly pki: { readonly ca: string; readonly cert: string; readonly key: string };
};

export async function closed(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on('close', () => resolve());
  if (!socket.closed) await promise;
}

function handshake({ port, pki }: Target, options: ConnectionOptions): Socket {
  const always = { servername: 'authorizer', ca: pki.ca, ALPNProtocols: ['h2'] };
  return connectTls({ port, host: '127.0.0.1', ...always, ...options }).on('error', () => {});
}

/** The first record of a handshake, as a client sends it. */
async function clientHello(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connectTls({ port: (server.address() as AddressInfo).port, ALPNProtocols: ['h2'] });
  client.on('error', () => {});
  const [socket] = await once(server, 'connection');
  const [bytes] = await once(socket, 'data');
  client.destroy();
  server.close();
  return bytes;
}

type Attempt = (target: Target, hello: Buffer) => Promise<void>;

const attacks = new Map<string, Attempt>([
  [
    'a connection that begins with garbage',
    async (target) => {
      const socket = connectTcp(target.port, '127.0.0.1').on('error', () => {});
      socket.resume().write('GET / HTTP/1.1\r\n\r\n');
      await closed(socket);
    },
  ],
  [
    'a ClientHello after which the client goes',
    async (target, hello) => {
      const socket = connectTcp(target.port, '127.0.0.1').on('error', () => {});
      socket.write(hello);
      await once(socket, 'data');
      socket.destroy();
      await closed(socket);
    },
  ],
  [
    'a handshake without a certificate',
    async (target) => {
      const socket = handshake(target, {}).resume();
      await closed(socket);
    },
  ],
  [
    'a handshake with a certificate, after which the client goes',
    async (target) => {
      const socket = handshake(target, target.pki);
      await once(socket, 'data');
      socket.destroy();
      await closed(socket);
    },
  ],
]);

export const attackNames = [...attacks.keys()];

export async function flood(
  name: string,
  target: Target,
  { attempts, parallel }: { attempts: number; parallel: number },
): Promise<void> {
  const hello = await clientHello();
  const attempt = attacks.get(name);
  if (attempt === undefined) throw new Error(`no attack ${name}`);
  let left = attempts;
  const attacker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await attempt(target, hello);
    }
  };
  await Promise.all(Array.from({ length: parallel }, attacker));
}
