import { status, type ServiceError } from '@grpc/grpc-js';
import { connect, type ClientHttp2Session } from 'node:http2';
import { createConnection } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { check, checkHealth, checkMessage, connectTo, targetOf, watchHealth } from '../grpc/grpc-fixture.ts';
import { neverPrinted } from '../output.ts';
import { eventually, freePort } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { issueToken } from '../token/tokens.ts';
import { fileIssuer, startAuthorizer, untilReady, type AuthorizerProgram } from './authorizer-program.ts';

const serving = 1;
const notServing = 2;

async function start(settings: Record<string, unknown>): Promise<AuthorizerProgram> {
  const folder = temporaryDirectory();
  const authorizer = await startAuthorizer(folder, { issuers: [fileIssuer(folder)], ...settings });
  onTestFinished(() => authorizer.stop().then(() => {}));
  await untilReady(authorizer);
  return authorizer;
}

function connected(authorizer: AuthorizerProgram) {
  const client = connectTo(targetOf(authorizer.address));
  onTestFinished(() => client.close());
  return client;
}

function message() {
  const token = issueToken();
  neverPrinted(token);
  return checkMessage({ authorization: `Bearer ${token}` });
}

/** A connection of its own, with the GOAWAY frames that came on it. */
function sessionTo(url: string): { session: ClientHttp2Session; goneAway: (number | undefined)[] } {
  const session = connect(url).on('error', () => {});
  onTestFinished(() => session.destroy());
  const goneAway: (number | undefined)[] = [];
  session.on('goaway', (_, lastStream) => goneAway.push(lastStream));
  return { session, goneAway };
}

async function connectionError(port: number): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const socket = createConnection(port, '127.0.0.1', () => resolve(undefined));
  socket.on('error', (error) => resolve('code' in error ? error.code : error.message));
  return promise.finally(() => socket.destroy());
}

describe.each(['native', 'grpc-js'])('an authorizer with the engine %s that is told to stop', (engine) => {
  it('stops being ready at once, answers checks for drainDelay, then sends GOAWAY and closes its port', async () => {
    const port = await freePort();
    const authorizer = await start({ engine, listen: `127.0.0.1:${port}`, drainDelay: '5s' });
    const client = connected(authorizer);
    const { session, goneAway } = sessionTo(`http://127.0.0.1:${port}`);
    const told: (number | undefined)[] = [];
    const { promise: watchEnded, resolve: endWatch } = Promise.withResolvers<ServiceError>();
    const watch = watchHealth(client).on('error', (error) => endWatch(error as ServiceError));
    watch.on('data', ({ status: one }: { status?: number }) => told.push(one));
    await eventually('SERVING', () => told.includes(serving) || undefined);

    const stopped = authorizer.stop();
    await eventually('not ready', async () => !(await authorizer.readyz()).ready || undefined);
    expect((await checkHealth(client)).status).toBe(notServing);
    await eventually('NOT_SERVING', () => told.at(-1) === notServing || undefined);
    expect((await check(client, message())).okResponse).toBeDefined();
    const late = connected(authorizer);
    expect((await check(late, message())).okResponse).toBeDefined();
    const lateTold: (number | undefined)[] = [];
    watchHealth(late)
      .on('error', () => {})
      .on('data', ({ status: one }: { status?: number }) => lateTold.push(one));
    await eventually('NOT_SERVING for a new watch', () => lateTold.at(-1) === notServing || undefined);
    expect(goneAway).toEqual([]);

    await eventually('GOAWAY', () => goneAway.length > 0 || undefined);
    expect(await connectionError(port)).toBe('ECONNREFUSED');
    expect((await watchEnded).code).toBe(status.UNAVAILABLE);
    expect(await stopped).toBe(0);
    expect(session.closed).toBe(true);
    expect(authorizer.log().some(({ msg }) => String(msg).startsWith('draining'))).toBe(true);
  });
});

it('a sidecar stops without delay', async () => {
  const authorizer = await start({});
  expect(await authorizer.stop()).toBe(0);
  expect(authorizer.log().some(({ msg }) => String(msg).startsWith('draining'))).toBe(false);
});

it('an authorizer on a non-loopback address drains for five seconds by default', async () => {
  const listen = async (): Promise<string> => `0.0.0.0:${await freePort()}`;
  const authorizers = [
    await start({ listen: await listen() }),
    await start({ listen: await listen(), drainDelay: '0s' }),
  ];
  for (const authorizer of authorizers) expect(await authorizer.stop()).toBe(0);
  const durations = authorizers.map(
    (one) => one.log().find(({ msg }) => String(msg).startsWith('draining'))?.['durationMs'],
  );
  expect(durations).toEqual([5000, undefined]);
});
