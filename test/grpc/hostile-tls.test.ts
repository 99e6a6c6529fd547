import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { checkPath } from '../../src/envoy/method-names.ts';
import { lengthPrefixed } from '../../src/grpc/length-prefix.ts';
import { preface } from '../../src/http2/frames.ts';
import { authorizationDefinition } from '../envoy/protocol.ts';
import { pingFrame, settingsFrame } from '../http2/raw-client.ts';
import { eventually } from '../processes.ts';
import { lastingDirectory } from '../temporary.ts';
import { checkMessage } from './grpc-fixture.ts';
import { attackNames, closed } from './tls-attacks.ts';
import type { ServerUsage } from './tls-server.ts';
import { testPki, writeTlsFiles } from './transports.ts';

// What a remote attacker costs a server with mutual TLS, in checks, and what a client beside it notices. The
// limits are wide, because the machine is shared; the figures that are printed are those of
// docs/security-model.md.

const body = lengthPrefixed(authorizationDefinition.Check.requestSerialize(checkMessage()));

let child: ChildProcess;
let port: number;
let bystander: ClientHttp2Session;
/** Of the server's CPU; µs. */
let costOfCheck: number;
const figures: string[] = [];
const figure = (name: string, value: number): void =>
  void figures.push(`${name}: ${value < 10 ? value.toFixed(1) : Math.round(value)}`);

beforeAll(async () => {
  const { cert, key, clientCa = '' } = writeTlsFiles(lastingDirectory());
  child = fork(join(import.meta.dirname, 'tls-server.ts'), [cert, key, clientCa]);
  [port] = await once(child, 'message');
  bystander = connectHttp2('https://authorizer', { createConnection: () => handshake(testPki().client) });
  await checks(3000);
  costOfCheck = (await costOf(() => checks(5000))) / 5000;
}, 120_000);

afterAll(() => {
  bystander.destroy();
  child.disconnect();
  console.log(`TLS, in checks or as a ratio:\n  ${figures.join('\n  ')}`);
});

async function usage(): Promise<ServerUsage> {
  child.send('usage');
  const [message] = await once(child, 'message');
  return message as ServerUsage;
}

/** The CPU time of the server meanwhile; µs. */
async function costOf(work: () => Promise<unknown>): Promise<number> {
  const before = await usage();
  await work();
  return (await usage()).cpuUs - before.cpuUs;
}

function handshake(options: ConnectionOptions = {}): Socket {
  const { authority } = testPki();
  const always = { servername: 'authorizer', ca: authority.cert, ALPNProtocols: ['h2'] };
  return connectTls({ port, host: '127.0.0.1', ...always, ...options }).on('error', () => {});
}

async function oneCheck(session: ClientHttp2Session): Promise<void> {
  const stream = session.request({
    ':method': 'POST',
    ':path': checkPath,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stream.on('error', reject).on('trailers', (trailers) => {
    if (trailers['grpc-status'] === '0') resolve();
    else reject(new Error(`grpc-status ${trailers['grpc-status']}`));
  });
  stream.resume().end(body);
  await promise;
}

async function checks(count: number): Promise<void> {
  for (let done = 0; done < count; done += 20)
    await Promise.all(Array.from({ length: 20 }, () => oneCheck(bystander)));
}

/** The median of the bystander's time for a check, one after the other, until `isOver`; ms. */
async function medianMs(isOver: (count: number) => boolean): Promise<number> {
  const times: number[] = [];
  while (!isOver(times.length)) {
    const started = performance.now();
    await oneCheck(bystander);
    times.push(performance.now() - started);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? NaN;
}

describe.each(attackNames)('%s', (name) => {
  it('costs as much as some checks, and its flood does not keep others from being answered', async () => {
    const attacker = fork(join(import.meta.dirname, 'tls-attacker.ts'));
    onTestFinished(() => attacker.disconnect());
    const flood = async (attempts: number, parallel: number): Promise<void> => {
      attacker.send({
        name,
        port,
        attempts,
        parallel,
        pki: { ca: testPki().authority.cert, ...testPki().client },
      });
      await once(attacker, 'message');
    };
    await flood(50, 1);
    const cost = (await costOf(() => flood(400, 8))) / 400;
    figure(`${name}: its cost, in checks`, cost / costOfCheck);
    expect(cost / costOfCheck).toBeLessThan(500);
    const alone = await medianMs((count) => count >= 200);
    let isOver = false;
    const flooding = flood(2000, 32).finally(() => (isOver = true));
    const beside = await medianMs(() => isOver);
    await flooding;
    figure(`${name}: a check beside 32 such clients takes so many times as long`, beside / alone);
    expect(beside).toBeLessThan(1000);
  });
});

it('clients that never finish their handshake cost nothing but their sockets, and a newcomer is served', async () => {
  const before = await usage();
  const sockets: Socket[] = [];
  for (let count = 0; count < 500; count += 1) {
    const socket = connectTcp(port, '127.0.0.1').on('error', () => {});
    await once(socket, 'connect');
    sockets.push(socket.resume());
  }
  const session = connectHttp2('https://authorizer', {
    createConnection: () => handshake(testPki().client),
  });
  await oneCheck(session);
  session.destroy();
  const open = (): number => sockets.filter((socket) => !socket.closed).length;
  await eventually('all but 64 were closed', () => open() <= 64 || undefined);
  const alone = await medianMs((count) => count >= 200);
  figure(
    '500 silent clients: memory, in KiB each',
    ((await usage()).rssBytes - before.rssBytes) / 500 / 1024,
  );
  expect(alone).toBeLessThan(1000);
  await eventually('the rest ran into the timeout', () => open() === 0 || undefined);
});

it('a client with a certificate that floods is closed, as it is on loopback', async () => {
  const socket = handshake(testPki().client).resume();
  socket.write(Buffer.concat([preface, settingsFrame([])]));
  await once(socket, 'data');
  const ping = Buffer.concat(Array.from({ length: 1000 }, () => pingFrame('12345678')));
  const cost = await costOf(async () => {
    const timer = setInterval(() => socket.write(ping), 1);
    await closed(socket);
    clearInterval(timer);
  });
  expect(socket.closed).toBe(true);
  figure(
    'a client with a certificate that sends PINGs until it is closed: its cost, in checks',
    cost / costOfCheck,
  );
  expect(socket.destroyed).toBe(true);
  await checks(100);
});
