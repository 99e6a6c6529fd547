import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Fault } from '../../src/runtime/fault.ts';
import { httpGet, type HttpBounds } from '../../src/token/http-get.ts';
import { testCertificate } from './certificate.ts';

const bounds = { timeoutMs: 5000, maxBytes: 1000 };
const open: (Server & { closeAllConnections(): void })[] = [];

afterEach(() => {
  for (const server of open.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(answer: RequestListener, tls?: { cert: string; key: string }): Promise<string> {
  const server = tls === undefined ? createServer(answer) : createTlsServer(tls, answer);
  open.push(server);
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const { port } = server.address() as AddressInfo;
  return `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}/jwks`;
}

const faultOf = async (url: string, changed: Partial<HttpBounds> = {}): Promise<string> => {
  try {
    await httpGet(url, { ...bounds, ...changed });
    return 'none';
  } catch (thrown) {
    return thrown instanceof Fault ? `${thrown.code}: ${thrown.message}` : 'no fault';
  }
};

describe('a fetch of keys', () => {
  it('gives status and body', async () => {
    const url = await serve((request, response) => response.end(`${request.method} ${request.url}`));
    expect(await httpGet(url, bounds)).toEqual({ status: 200, body: 'GET /jwks' });
  });

  it('follows no redirect', async () => {
    const asked: string[] = [];
    const url = await serve((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(302, { location: '/elsewhere' }).end();
    });
    expect(await httpGet(url, bounds)).toMatchObject({ status: 302 });
    expect(asked).toEqual(['/jwks']);
  });

  it('takes as many bytes as the bound and not one more, whatever the length that was announced', async () => {
    const url = await serve((_, response) => response.end('x'.repeat(1000)));
    expect((await httpGet(url, bounds)).body).toHaveLength(1000);
    expect(await faultOf(url, { maxBytes: 999 })).toBe(
      'ERR_JWKS_INVALID: the answer is longer than 999 bytes',
    );
    const endless = await serve((_, response) => {
      const more = (): unknown => response.write('x'.repeat(500), more);
      more();
    });
    expect(await faultOf(endless)).toContain('longer than 1000 bytes');
  });

  it('gives up on a server that does not answer, and on one that never ends', async () => {
    const silent = await serve(() => undefined);
    expect(await faultOf(silent, { timeoutMs: 50 })).toMatch(
      /^ERR_JWKS_UNAVAILABLE: .*no answer within 50 ms/,
    );
    const dripping = await serve((_, response) => response.write('x'));
    expect(await faultOf(dripping, { timeoutMs: 50 })).toContain('no answer within 50 ms');
  });

  it('reports a refused connection', async () => {
    expect(await faultOf('http://127.0.0.1:1/jwks')).toMatch(/^ERR_JWKS_UNAVAILABLE: .*ECONNREFUSED/);
  });

  it('refuses a body that is encoded or not UTF-8', async () => {
    const zipped = await serve((_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'),
    );
    expect(await faultOf(zipped)).toBe('ERR_JWKS_INVALID: the answer is encoded as gzip');
    const latin = await serve((_, response) => response.end(Buffer.from([0x7b, 0xe9, 0x7d])));
    expect(await faultOf(latin)).toBe('ERR_JWKS_INVALID: the answer is not UTF-8');
  });

  it('reports an answer cut off in the middle', async () => {
    const url = await serve((_, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('half');
      setImmediate(() => response.destroy());
    });
    expect(await faultOf(url)).toMatch(/^ERR_JWKS_UNAVAILABLE/);
  });
});

describe('over TLS', () => {
  it('verifies certificates, whatever the environment says', async () => {
    const url = await serve((_, response) => response.end('{}'), testCertificate());
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    expect(await faultOf(url).finally(() => vi.unstubAllEnvs())).toMatch(
      /^ERR_JWKS_UNAVAILABLE: .*certificate/,
    );
  });

  it('reads the scheme without regard to case', async () => {
    const tls = testCertificate();
    const url = await serve((_, response) => response.end('{}'), tls);
    const shouted = url.replace('https', 'HTTPS');
    expect(await httpGet(shouted, { ...bounds, ca: tls.cert })).toMatchObject({ status: 200 });
  });

  it('trusts the certificates that are given, and no others', async () => {
    const tls = testCertificate();
    const url = await serve((_, response) => response.end('{}'), tls);
    expect(await httpGet(url, { ...bounds, ca: tls.cert })).toMatchObject({ status: 200 });
    expect(await faultOf(url)).toMatch(/^ERR_JWKS_UNAVAILABLE: .*certificate/);
    expect(await faultOf(url, { ca: testCertificate().cert })).toMatch(/^ERR_JWKS_UNAVAILABLE/);
  });
});
