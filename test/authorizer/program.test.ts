import { existsSync, statSync, writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { startEchoService, type Echo } from '../envoy/echo-service.ts';
import { startEnvoy, type RunningEnvoy } from '../envoy/envoy-process.ts';
import { createAuthority } from '../grpc/certificates.ts';
import { checkHealth, connectTo, targetOf, watchHealth } from '../grpc/grpc-fixture.ts';
import { neverPrinted } from '../output.ts';
import { eventually, freePort, startCurfew } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { issueToken, testIssuer, testSecret } from '../token/tokens.ts';
import type { EnvoyConfigOptions } from '../../src/injection/envoy-options.ts';
import { fileIssuer, startAuthorizer, untilReady, type AuthorizerProgram } from './authorizer-program.ts';

let folder: string;

beforeEach(() => {
  folder = temporaryDirectory();
});

async function start(config: Record<string, unknown> = {}, name?: string): Promise<AuthorizerProgram> {
  const authorizer = await startAuthorizer(folder, { issuers: [fileIssuer(folder)], ...config }, name);
  onTestFinished(() => authorizer.stop().then(() => {}));
  return authorizer;
}

async function envoyBefore(
  { address }: Pick<AuthorizerProgram, 'address'>,
  options: Partial<EnvoyConfigOptions> = {},
): Promise<RunningEnvoy> {
  const echo = await startEchoService();
  onTestFinished(echo.stop);
  const envoy = await startEnvoy({
    authorizer: address,
    services: [
      {
        name: 'orders',
        listen: { host: '127.0.0.1', port: 0 },
        upstream: { host: '127.0.0.1', port: echo.port, protocol: 'http1' },
      },
    ],
    ...options,
  });
  onTestFinished(envoy.stop);
  return envoy;
}

function bearer(overrides: Parameters<typeof issueToken>[0] = {}): { authorization: string } {
  const token = issueToken(overrides);
  neverPrinted(token);
  return { authorization: `Bearer ${token}` };
}

const expired = () => bearer({ now: Math.floor(Date.now() / 1000) - 70 });
const reservedIn = ({ headers }: Echo) => Object.keys(headers).filter((name) => /^x[-_]auth[-_]/.test(name));

describe('an authorizer without `revocation`', () => {
  it('is ready with its keys, and reports at the start and in /status that it validates only', async () => {
    const authorizer = await start();
    await untilReady(authorizer);
    expect(await authorizer.readyz()).toEqual({
      ready: true,
      parts: {
        keys: { [testIssuer]: { state: 'fresh', keys: 1 } },
        revocation: 'off',
        draining: false,
      },
    });
    expect(await authorizer.status()).toMatchObject({
      engine: 'native',
      mode: 'enforce',
      ready: true,
      revocation: 'off: tokens are validated only',
      issuers: [{ issuer: testIssuer, keys: { state: 'fresh' } }],
    });
    const warned = authorizer.log().filter(({ level }) => level === 'warn');
    expect(warned.map(({ msg }) => msg)).toEqual([expect.stringContaining('validated only')]);
    expect(authorizer.log().find(({ msg }) => msg === 'trusting issuer')).toMatchObject({
      issuer: testIssuer,
    });
  });
});

describe('an authorizer with the deprecated engine `lean`', () => {
  it('uses `native`, and warns at start', async () => {
    const authorizer = await start({ engine: 'lean' });
    await untilReady(authorizer);
    expect(await authorizer.status()).toMatchObject({ engine: 'native' });
    expect(authorizer.log()).toContainEqual(
      expect.objectContaining({ level: 'warn', msg: expect.stringContaining('deprecated'), engine: 'lean' }),
    );
  });
});

describe('an authorizer that starts while Redis is down', () => {
  const revocation = async (waitForSync: string) => ({
    redis: { url: `redis://127.0.0.1:${await freePort()}` },
    maxExposure: '10s',
    waitForSync,
  });

  it('becomes ready after waitForSync, allows young tokens and denies older ones', async () => {
    const authorizer = await start({ revocation: await revocation('1s') });
    expect(await authorizer.readyz()).toMatchObject({ ready: false, parts: { revocation: 'starting' } });
    await untilReady(authorizer);
    const envoy = await envoyBefore(authorizer);
    expect((await fetch(envoy.url('orders'), { headers: bearer() })).status).toBe(200);
    const older = bearer({ now: Math.floor(Date.now() / 1000) - 20 });
    expect((await fetch(envoy.url('orders'), { headers: older })).status).toBe(401);
    expect(authorizer.log().find(({ msg }) => msg === 'request denied')).toMatchObject({
      reason: 'freshness_unproven',
    });
  });

  it('does not become ready with `waitForSync: forever`, but answers checks', async () => {
    const authorizer = await start({ revocation: await revocation('forever') });
    const envoy = await envoyBefore(authorizer);
    expect((await fetch(envoy.url('orders'), { headers: bearer() })).status).toBe(200);
    expect((await authorizer.readyz()).ready).toBe(false);
  });
});

describe('once it is idle', () => {
  it('releases memory, and disables a compiler with its first check', async () => {
    const authorizer = await start();
    await untilReady(authorizer);
    const flags = () => authorizer.log().flatMap(({ msg, kind }) => (msg === 'flag of V8 set' ? [kind] : []));
    const atStart = ['--no-allocation-site-pretenuring', '--heap-growing-percent=50'];
    // It looks every half second.
    await setTimeout(1600);
    expect(flags()).toEqual(atStart);
    const envoy = await envoyBefore(authorizer);
    expect((await fetch(envoy.url('orders'), { headers: bearer() })).status).toBe(200);
    await eventually('it worked', () => (flags().length > atStart.length ? true : undefined));
    expect(flags()).toEqual([...atStart, '--no-maglev']);
  });
});

describe('mode: shadow', () => {
  it('allows everything, without an identity for an invalid token, and counts what it would have denied', async () => {
    const authorizer = await start({ mode: 'shadow' });
    const envoy = await envoyBefore(authorizer);
    const spoofed = { ...expired(), 'x-auth-subject': 'root', x_auth_subject: 'root' };
    const refused = await fetch(envoy.url('orders'), { headers: spoofed });
    expect(refused.status).toBe(200);
    expect(reservedIn((await refused.json()) as Echo)).toEqual([]);
    const good = await fetch(envoy.url('orders'), { headers: bearer() });
    expect(((await good.json()) as Echo).headers['x-auth-subject']).toBe('user-1');
    expect(await authorizer.metrics()).toContain('curfew_checks_total{decision="deny",reason="expired"} 1');
    const lines = authorizer.log().filter(({ msg }) => msg === 'request denied');
    expect(lines).toEqual([expect.objectContaining({ reason: 'expired', mode: 'shadow' })]);
  });
});

describe('configured responses', () => {
  it('full detail, an origin that may read them, another realm', async () => {
    const denied = { detail: 'full', corsOrigins: ['https://app.example'], realm: 'orders' };
    const envoy = await envoyBefore(await start({ denied }), { cors: true });
    const response = await fetch(envoy.url('orders'), {
      headers: { ...expired(), origin: 'https://app.example' },
    });
    expect(response.headers.get('access-control-allow-origin')).toBe('https://app.example');
    expect(response.headers.get('www-authenticate')).toBe('Bearer realm="orders", error="invalid_token"');
    expect(await response.json()).toMatchObject({ code: 'invalid_token', reason: 'expired' });
  });

  it('a redirect to the login page for browsers, a 401 for everyone else', async () => {
    const loginRedirect = { url: 'https://login.example/', returnParameter: 'to' };
    const envoy = await envoyBefore(await start({ denied: { loginRedirect } }), { loginRedirect: true });
    const url = `${envoy.url('orders')}/basket?x=1`;
    // fetch would say of itself that it is a script.
    const headers = { accept: 'text/html', 'sec-fetch-mode': 'navigate' };
    const browser = Promise.withResolvers<IncomingMessage>();
    request(url, { headers }, browser.resolve).end();
    const { statusCode, headers: answered } = await browser.promise;
    expect(statusCode).toBe(302);
    expect(answered.location).toBe('https://login.example/?to=%2Fbasket%3Fx%3D1');
    expect((await fetch(url, { headers: { accept: 'application/json' } })).status).toBe(401);
  });

  it('no credential for the service', async () => {
    const sources = [{ header: 'authorization' }, { cookie: 'session' }];
    const upstream = { forwardAuthorization: false };
    const envoy = await envoyBefore(await start({ token: { sources }, upstream }), {
      sources: [...sources] as [],
    });
    const byHeader = await fetch(envoy.url('orders'), { headers: bearer() });
    expect(((await byHeader.json()) as Echo).headers).not.toHaveProperty('authorization');
    const cookie = `theme=dark; session=${bearer().authorization.slice('Bearer '.length)}; lang=de`;
    const byCookie = await fetch(envoy.url('orders'), { headers: { cookie } });
    expect(((await byCookie.json()) as Echo).headers['cookie']).toBe('theme=dark; lang=de');
  });

  it('a shared secret', async () => {
    const file = join(folder, 'secret');
    writeFileSync(file, testSecret.toString('base64url'));
    const issuer = {
      issuer: testIssuer,
      audiences: ['orders'],
      algorithms: ['HS256'],
      secret: { file, kid: 'shared' },
    };
    const envoy = await envoyBefore(await start({ issuers: [issuer] }));
    const secret = { bytes: testSecret, algorithm: 'HS256' as const, kid: 'shared' };
    expect((await fetch(envoy.url('orders'), { headers: bearer({ secret }) })).status).toBe(200);
    expect((await fetch(envoy.url('orders'), { headers: bearer() })).status).toBe(401);
  });
});

describe('the port', () => {
  it('is a Unix socket for owner and group, gone after the stop', async () => {
    const authorizer = await start();
    const path = join(folder, 'authorizer.sock');
    expect(statSync(path).mode & 0o777).toBe(0o660);
    expect(await authorizer.stop()).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  it('replaces the socket of a process that was killed', async () => {
    const first = await start();
    await first.program.stop('SIGKILL');
    expect(existsSync(join(folder, 'authorizer.sock'))).toBe(true);
    const second = await start();
    await untilReady(second);
    expect((await second.readyz()).ready).toBe(true);
  });

  it('serves TLS over TCP when configured', async () => {
    const authority = createAuthority();
    const files = { ...authority.issue('authorizer'), ca: authority.cert };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, `${name}.pem`), text);
    const tls = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
    const authorizer = await start({ listen: `127.0.0.1:${await freePort()}`, tls });
    const authorizerTls = { ca: join(folder, 'ca.pem'), serverName: 'authorizer' };
    const envoy = await envoyBefore(authorizer, { authorizerTls });
    expect((await fetch(envoy.url('orders'), { headers: bearer() })).status).toBe(200);
  });

  it.each([
    ['0.0.0.0', true],
    ['127.0.0.1', false],
  ])('over TCP without TLS on %s: warned of is %j', async (host, isWarned) => {
    const authorizer = await start({ listen: `${host}:${await freePort()}` });
    const warnings = authorizer.log().filter(({ level }) => level === 'warn');
    expect(warnings.some(({ msg }) => String(msg).includes('has no `tls`'))).toBe(isWarned);
  });

  it('that is in use ends the start with exit code 1 and a message', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await eventually('listening', () => taken.listening || undefined);
    onTestFinished(() => void taken.close());
    const address = taken.address();
    const listen = `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
    const file = join(folder, 'taken.yaml');
    const admin = `127.0.0.1:${await freePort()}`;
    writeFileSync(file, stringify({ listen, admin, issuers: [fileIssuer(folder)] }));
    const program = startCurfew('taken', ['authorizer', '--config', file]);
    expect(await program.exited).toBe(1);
    expect(program.printed()).toContain(`${listen} is in use; stop the other process or change \`listen\``);
  });
});

it('an invalid configuration ends the start with exit code 2 and every problem', async () => {
  const file = join(folder, 'broken.yaml');
  writeFileSync(
    file,
    stringify({ issuers: [fileIssuer(folder, { audiences: [] })], mode: 'maybe', moed: 1 }),
  );
  const program = startCurfew('broken', ['authorizer', '--config', file]);
  expect(await program.exited).toBe(2);
  for (const path of ['issuers[0].audiences', 'mode', 'moed']) expect(program.printed()).toContain(path);
});

it('a key file that is missing ends the start with a message', async () => {
  const file = join(folder, 'keyless.yaml');
  const issuer = { ...fileIssuer(folder), jwks: { file: join(folder, 'nowhere.json') } };
  const admin = `127.0.0.1:${await freePort()}`;
  const listen = `unix://${join(folder, 'keyless.sock')}`;
  writeFileSync(file, stringify({ listen, admin, issuers: [issuer] }));
  const program = startCurfew('keyless', ['authorizer', '--config', file]);
  expect(await program.exited).toBe(1);
  expect(program.printed()).toContain('nowhere.json');
});

it('a JWKS server that hangs does not delay the shutdown', async () => {
  const hanging = createServer().listen(0, '127.0.0.1');
  await eventually('listening', () => hanging.listening || undefined);
  onTestFinished(() => void hanging.close());
  const address = hanging.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const connected = new Promise((resolve) => hanging.once('connection', resolve));
  const jwks = { uri: `http://127.0.0.1:${port}/`, timeout: '30s' };
  const authorizer = await start({ issuers: [{ issuer: testIssuer, audiences: ['orders'], jwks }] });
  await connected;
  const before = performance.now();
  expect(await authorizer.stop()).toBe(0);
  expect(performance.now() - before).toBeLessThan(5000);
});

describe('readiness', () => {
  it('is reported by the health service: NOT_SERVING without keys', async () => {
    const port = await freePort();
    const jwks = { uri: `http://127.0.0.1:${port}/jwks` };
    const authorizer = await start({ issuers: [{ issuer: testIssuer, audiences: ['orders'], jwks }] });
    const client = connectTo(targetOf(authorizer.address));
    onTestFinished(() => client.close());
    expect((await checkHealth(client)).status).toBe(2);
    expect((await authorizer.readyz()).ready).toBe(false);
  });

  it('is reported by the health service: SERVING with keys, NOT_SERVING from SIGTERM', async () => {
    const authorizer = await start();
    const client = connectTo(targetOf(authorizer.address));
    onTestFinished(() => client.close());
    const seen: (number | undefined)[] = [];
    const watch = watchHealth(client).on('error', () => {});
    watch.on('data', ({ status }: { status?: number }) => seen.push(status));
    await eventually('SERVING', () => seen.includes(1) || undefined);
    expect(await authorizer.stop()).toBe(0);
    expect(seen.at(-1)).toBe(2);
  });
});

describe('under load', () => {
  it('a restart causes 503s but never a wrong allow, and then everything works again', async () => {
    const first = await start();
    const envoy = await envoyBefore(first);
    const good = bearer();
    const bad = expired();
    const statuses = { good: new Set<number>(), bad: new Set<number>() };
    const over = new AbortController();
    const load = async (kind: 'good' | 'bad'): Promise<void> => {
      while (!over.signal.aborted) {
        const response = await fetch(envoy.url('orders'), { headers: kind === 'good' ? good : bad });
        await response.arrayBuffer();
        statuses[kind].add(response.status);
      }
    };
    const loads = [load('good'), load('good'), load('bad')];
    await eventually('load', () => statuses.good.has(200) || undefined);
    expect(await first.stop()).toBe(0);
    const second = await start();
    await untilReady(second);
    over.abort();
    await Promise.all(loads);
    expect([...statuses.good].filter((status) => status !== 200 && status !== 503)).toEqual([]);
    expect([...statuses.bad].filter((status) => status !== 401 && status !== 503)).toEqual([]);
    await eventually('all is well', async () =>
      (await fetch(envoy.url('orders'), { headers: good })).status === 200 ? true : undefined,
    );
  });
});
