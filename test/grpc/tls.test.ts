import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { preface } from '../../src/http2/frames.ts';
import { checkPath } from '../../src/envoy/method-names.ts';
import { lengthPrefixed } from '../../src/grpc/length-prefix.ts';
import { authorizationDefinition } from '../envoy/protocol.ts';
import { request, settingsFrame } from '../http2/raw-client.ts';
import { eventually } from '../processes.ts';
import { createAuthority } from './certificates.ts';
import {
  allowed,
  check,
  checkMessage,
  connectToServer,
  startServer,
  type TestServer,
} from './grpc-fixture.ts';
import { createTransport, testPki } from './transports.ts';

const body = lengthPrefixed(authorizationDefinition.Check.requestSerialize(checkMessage()));
/** What a client sends that is in a hurry. */
const wholeCheck = Buffer.concat([
  preface,
  settingsFrame([]),
  request(1, body, checkPath, [['content-type', 'application/grpc']]),
]);

let running: TestServer;
let sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await running.server.stop();
});

const portOf = ({ target }: TestServer): number => Number(target.split(':')[1]);

function kept<T extends Socket>(socket: T): T {
  sockets.push(socket);
  socket.on('error', () => {}).resume();
  return socket;
}

/** A TCP connection on which no handshake begins. */
const silent = (): Socket => kept(connectTcp(portOf(running), '127.0.0.1'));

const handshake = (options: ConnectionOptions = {}): TLSSocket =>
  kept(
    connectTls({
      port: portOf(running),
      host: '127.0.0.1',
      servername: 'authorizer',
      ca: testPki().authority.cert,
      ALPNProtocols: ['h2'],
      ...options,
    }),
  );

async function closed(socket: Socket): Promise<void> {
  await eventually('the connection is closed', () => socket.closed || undefined);
}

async function isAnswered(): Promise<boolean> {
  const client = connectToServer(running);
  const answer = await check(client, checkMessage(), { deadline: Date.now() + 10_000 }).finally(() =>
    client.close(),
  );
  return answer.okResponse !== undefined;
}

describe.each(['native', 'grpc-js'] as const)('mutual TLS with the engine %s', (engine) => {
  beforeEach(async () => {
    running = await startServer(() => allowed(), { engine, transport: createTransport('mtls') });
  });

  it.each<[name: string, options: () => ConnectionOptions]>([
    ['without a certificate', () => ({})],
    ['with the certificate of another authority', () => createAuthority().issue('envoy')],
  ])('reads no frame of a client %s', async (_, options) => {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      // With TLS 1.3 the client may send as soon as it has sent its certificate, before the server has
      // verified it.
      const client = handshake({ ...options(), maxVersion });
      client.write(wholeCheck);
      let received = 0;
      client.on('data', (bytes) => (received += bytes.length));
      await closed(client);
      expect(received).toBe(0);
    }
    expect(running.decisions).toEqual([]);
    expect(await isAnswered()).toBe(true);
  });

  it.each<[name: string, options: ConnectionOptions]>([
    ['another protocol than h2', { ALPNProtocols: ['http/1.1'] }],
    ['TLS 1.1', { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }],
  ])('refuses %s', async (_, options) => {
    await closed(handshake({ ...testPki().client, ...options }));
    expect(await isAnswered()).toBe(true);
  });

  it('refuses renegotiation', async () => {
    const client = handshake({ ...testPki().client, maxVersion: 'TLSv1.2' });
    const { promise, resolve } = Promise.withResolvers<Error | null>();
    client.on('secureConnect', () => client.renegotiate({}, resolve));
    client.on('error', resolve);
    expect(await promise).toBeInstanceOf(Error);
    expect(await isAnswered()).toBe(true);
  });
});

describe('the handshakes', () => {
  const start = async (bounds: {
    handshakeTimeoutMs?: number;
    firstByteTimeoutMs?: number;
  }): Promise<void> => {
    running = await startServer(() => allowed(), { transport: createTransport('mtls'), bounds });
  };

  it('end at their timeout, also when bytes keep coming', async () => {
    await start({ handshakeTimeoutMs: 300 });
    const still = silent();
    const slow = silent();
    // A record of the handshake whose announced 256 bytes come one by one.
    slow.write(Buffer.from([22, 3, 1, 1, 0]));
    const dripping = setInterval(() => slow.write(Buffer.from([1])), 20);
    await closed(still);
    await closed(slow);
    clearInterval(dripping);
    expect(await isAnswered()).toBe(true);
  });

  it('are 64 at once: a further one ends the oldest, so that silent clients do not lock out others', async () => {
    await start({ handshakeTimeoutMs: 60_000 });
    const clients: Socket[] = [];
    for (let count = 0; count < 80; count += 1) {
      const client = silent();
      await eventually('connected', () => (client.connecting ? undefined : true));
      clients.push(client);
    }
    await eventually(
      'the excess is closed',
      () => clients.filter((one) => one.closed).length === 16 || undefined,
    );
    expect(clients.slice(0, 16).every((one) => one.closed)).toBe(true);
    expect(await isAnswered()).toBe(true);
  });

  it('that are complete do not count, and do not end', async () => {
    await start({ handshakeTimeoutMs: 2000, firstByteTimeoutMs: 60_000 });
    const clients: TLSSocket[] = [];
    for (let count = 0; count < 70; count += 1) {
      const client = handshake(testPki().client);
      // SETTINGS of the server.
      await once(client, 'data');
      clients.push(client);
    }
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(clients.filter((one) => one.closed)).toEqual([]);
    for (const client of clients) client.write(wholeCheck);
    await eventually('all are answered', () => running.decisions.length === 70 || undefined);
  });
});

describe('changed certificate files', () => {
  it('apply to new connections, once certificate and key match', async () => {
    const transport = createTransport('mtls');
    const { tls } = transport;
    if (tls === undefined) throw new Error('no TLS');
    running = await startServer(() => allowed(), { transport, certificatesEveryMs: 20 });
    const { authority } = testPki();
    const next = authority.issue('renewed');
    const servedName = async (): Promise<string | undefined> => {
      const client = handshake({ ...testPki().client, checkServerIdentity: () => undefined });
      await eventually('connected', () => client.getPeerCertificate().subject?.CN);
      return client.getPeerCertificate().subject.CN?.toString();
    };
    writeFileSync(tls.cert, next.cert);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await servedName()).toBe('authorizer');
    writeFileSync(tls.key, next.key);
    await eventually('the new one is served', async () => (await servedName()) === 'renewed' || undefined);
    const before = handshake({ ...testPki().client, checkServerIdentity: () => undefined });
    let session: Buffer | undefined;
    before.on('session', (ticket) => (session = ticket)).write(wholeCheck);
    await eventually('a session that could be resumed', () => session);
    // A withdrawn authority is not trusted any more, and the sessions that it made possible are not resumed.
    writeFileSync(tls.clientCa ?? '', createAuthority().cert);
    await eventually('the client is refused', async () => {
      const options = { ...testPki().client, checkServerIdentity: () => undefined };
      const client = handshake({ ...options, session });
      client.write(wholeCheck);
      let received = 0;
      client.on('data', (bytes) => (received += bytes.length));
      await new Promise((resolve) => setTimeout(resolve, 100));
      return (client.closed && received === 0) || undefined;
    });
  });
});
