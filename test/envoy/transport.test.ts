import { credentials, status, type ServiceError } from '@grpc/grpc-js';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { formatAddress } from '../../src/runtime/address.ts';
import { eventually } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { capturedLog } from '../token/fixtures.ts';
import { createAuthority, type Authority, type Certificate } from './certificates.ts';
import { startEchoService } from './echo-service.ts';
import { startEnvoy } from './envoy-process.ts';
import { allowed, check, checkMessage, connectTo, startServer, type TestServer } from './grpc-fixture.ts';

let folder: string;
let authority: Authority;
let running: TestServer;
let log: ReturnType<typeof capturedLog>;

const write = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

const writePair = ({ cert, key }: Certificate): void => {
  write('server.pem', cert);
  write('server.key', key);
};

beforeEach(async () => {
  folder = temporaryDirectory();
  authority = createAuthority();
  log = capturedLog();
  write('ca.pem', authority.cert);
  writePair(authority.issue('authorizer'));
  const path = (name: string) => join(folder, name);
  running = await startServer(() => allowed(), {
    log: log.log,
    tls: { cert: path('server.pem'), key: path('server.key'), clientCa: path('ca.pem') },
    certificatesEveryMs: 20,
  });
});

afterEach(() => running.server.stop());

const channel = (client: Certificate | undefined, ca = authority.cert) =>
  client === undefined
    ? credentials.createSsl(Buffer.from(ca))
    : credentials.createSsl(Buffer.from(ca), Buffer.from(client.key), Buffer.from(client.cert));

async function ask(client: Certificate | undefined, ca?: string) {
  const connected = connectTo(running.target, channel(client, ca));
  const deadline = Date.now() + 3000;
  return check(connected, checkMessage(), { deadline }).finally(() => connected.close());
}

const codeOf = (asked: Promise<unknown>): Promise<number> =>
  asked.then(
    () => status.OK,
    (error: unknown) => (error as ServiceError).code,
  );

/** The serial number of the certificate the server shows. */
async function shownSerial(): Promise<string> {
  const [host = '', port = ''] = running.target.split(':');
  const own = authority.issue('probe');
  const socket = connectTls({ host, port: Number(port), ca: authority.cert, ...own, ALPNProtocols: ['h2'] });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  socket.on('secureConnect', () => resolve(socket.getPeerCertificate().serialNumber)).on('error', reject);
  return promise.finally(() => socket.destroy());
}

describe('mutual TLS', () => {
  it('lets in a client with a certificate of the authority', async () => {
    expect((await ask(authority.issue('envoy'))).okResponse).toBeDefined();
  });

  it('keeps out a client without one', async () => {
    expect(await codeOf(ask(undefined))).toBe(status.UNAVAILABLE);
  });

  it('keeps out a client with one of another authority', async () => {
    expect(await codeOf(ask(createAuthority().issue('envoy')))).toBe(status.UNAVAILABLE);
  });

  it('keeps out a client without TLS', async () => {
    const plain = connectTo(running.target);
    onTestFinished(() => plain.close());
    expect(await codeOf(check(plain, checkMessage(), { deadline: Date.now() + 3000 }))).not.toBe(status.OK);
  });

  it('keeps out TLS below 1.2', async () => {
    const [host = '', port = ''] = running.target.split(':');
    const own = authority.issue('old');
    const options = { host, port: Number(port), ca: authority.cert, ...own, maxVersion: 'TLSv1.1' as const };
    const { promise, resolve } = Promise.withResolvers<string>();
    connectTls({ ...options, minVersion: 'TLSv1' })
      .on('secureConnect', () => resolve('connected'))
      .on('error', () => resolve('refused'));
    expect(await promise).toBe('refused');
  });

  it('works for a real Envoy', async () => {
    const echo = await startEchoService();
    const own = authority.issue('envoy');
    const envoy = await startEnvoy({
      authorizer: running.server.boundAddress(),
      authorizerTls: {
        ca: join(folder, 'ca.pem'),
        cert: write('envoy.pem', own.cert),
        key: write('envoy.key', own.key),
        serverName: 'authorizer',
      },
      services: [
        {
          name: 'orders',
          listen: { host: '127.0.0.1', port: 0 },
          upstream: { host: '127.0.0.1', port: echo.port, protocol: 'http1' },
        },
      ],
    });
    onTestFinished(() => Promise.all([envoy.stop(), echo.stop()]).then(() => {}));
    expect((await fetch(envoy.url('orders'))).status).toBe(200);
  });
});

describe('certificate files that change', () => {
  it('apply to new connections', async () => {
    const before = await shownSerial();
    writePair(authority.issue('authorizer'));
    const after = await eventually('another certificate', async () => {
      const serial = await shownSerial();
      return serial === before ? undefined : serial;
    });
    expect(after).not.toBe(before);
    expect((await ask(authority.issue('envoy'))).okResponse).toBeDefined();
  });

  it('do not apply while certificate and key are of different pairs', async () => {
    const before = await shownSerial();
    const next = authority.issue('authorizer');
    write('server.pem', next.cert);
    await eventually('the mismatch is noticed', () => log.text().includes('do not fit') || undefined);
    expect(await shownSerial()).toBe(before);
    write('server.key', next.key);
    const after = await eventually('the whole pair', async () => {
      const serial = await shownSerial();
      return serial === before ? undefined : serial;
    });
    expect(after).not.toBe(before);
  });

  it('bring another authority for clients', async () => {
    const other = createAuthority('another authority');
    const client = other.issue('envoy');
    expect(await codeOf(ask(client))).toBe(status.UNAVAILABLE);
    write('ca.pem', `${authority.cert}${other.cert}`);
    const trusted = eventually('the new authority is trusted', () => ask(client).catch(() => undefined));
    expect((await trusted).okResponse).toBeDefined();
  });
});

it('a certificate that is no PEM stops the start', async () => {
  const broken = write('broken.pem', 'nonsense');
  const tls = { cert: broken, key: join(folder, 'server.key') };
  await expect(startServer(() => allowed(), { tls })).rejects.toThrow(/PEM|pem|no start line/);
});

it('a server stops with its address free again', async () => {
  const address = running.server.boundAddress();
  await running.server.stop();
  running = await startServer(() => allowed(), { address });
  expect(formatAddress(running.server.boundAddress())).toBe(formatAddress(address));
});
