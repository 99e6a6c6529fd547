import { describe, expect, it } from 'vitest';
import { Fault } from '../../src/runtime/fault.ts';
import type { HttpAnswer, HttpBounds } from '../../src/token/http-get.ts';
import { createJwksSource, type JwksSourceOptions } from '../../src/token/jwks-source.ts';
import { steppedClock } from './fixtures.ts';

const issuer = 'https://issuer.test/realms/a';
const jwksUri = 'https://keys.test/jwks';
const openid = `${issuer}/.well-known/openid-configuration`;
const oauth = 'https://issuer.test/.well-known/oauth-authorization-server/realms/a';
const metadata = (changed: object = {}): string => JSON.stringify({ issuer, jwks_uri: jwksUri, ...changed });

/** A source over pages that the test writes; unknown addresses are 404. */
function source(pages: Record<string, string | HttpAnswer>, options: Partial<JwksSourceOptions> = {}) {
  const asked: string[] = [];
  const bounds: HttpBounds[] = [];
  const clock = steppedClock();
  const load = createJwksSource({
    issuer,
    uri: undefined,
    timeoutMs: 5000,
    maxBytes: 1000,
    allowHttp: false,
    caFile: undefined,
    clock,
    get: async (url, bound) => {
      asked.push(url);
      bounds.push(bound);
      clock.nowSeconds += 1;
      const page = pages[url] ?? { status: 404, body: 'not found' };
      return await Promise.resolve(typeof page === 'string' ? { status: 200, body: page } : page);
    },
    ...options,
  });
  return { load, asked, bounds, clock, pages };
}

async function faultOf(action: () => unknown): Promise<string> {
  try {
    await action();
    return 'none';
  } catch (thrown) {
    return thrown instanceof Fault ? `${thrown.code}: ${thrown.message}` : 'no fault';
  }
}

describe('keys by address', () => {
  it('are fetched from there', async () => {
    const { load, asked } = source({ [jwksUri]: 'keys' }, { uri: jwksUri });
    expect(await load()).toBe('keys');
    expect(asked).toEqual([jwksUri]);
  });

  it.each([
    [{ status: 500, body: '' }, 'status 500'],
    [{ status: 204, body: '' }, 'status 204'],
    [{ status: 301, body: '' }, 'status 301; redirects are not followed'],
  ])('are not had from %j', async (page, message) => {
    const { load } = source({ [jwksUri]: page }, { uri: jwksUri });
    expect(await faultOf(load)).toBe(`ERR_JWKS_UNAVAILABLE: GET ${jwksUri}: ${message}`);
  });
});

describe('keys by discovery', () => {
  it('are found by OpenID Connect Discovery', async () => {
    const { load, asked } = source({ [openid]: metadata(), [jwksUri]: 'keys' });
    expect(await load()).toBe('keys');
    expect(asked).toEqual([openid, jwksUri]);
  });

  it('are found by RFC 8414 where there is no OpenID provider', async () => {
    const { load, asked } = source({ [oauth]: metadata(), [jwksUri]: 'keys' });
    expect(await load()).toBe('keys');
    expect(asked).toEqual([openid, oauth, jwksUri]);
  });

  it('of an issuer that ends in a slash drop it from the path, not from the name', async () => {
    const slash = 'https://tenant.test/';
    const page = 'https://tenant.test/.well-known/openid-configuration';
    const { load } = source({ [page]: metadata({ issuer: slash }), [jwksUri]: 'keys' }, { issuer: slash });
    expect(await load()).toBe('keys');
  });

  it('are located once an hour, and again after a failure', async () => {
    const site = source({ [openid]: metadata(), [jwksUri]: 'keys' });
    await site.load();
    await site.load();
    expect(site.asked).toEqual([openid, jwksUri, jwksUri]);
    site.clock.nowSeconds += 3600;
    await site.load();
    expect(site.asked.slice(3)).toEqual([openid, jwksUri]);
    site.pages[jwksUri] = { status: 404, body: '' };
    await faultOf(site.load);
    site.pages[openid] = metadata({ jwks_uri: 'https://keys.test/moved' });
    site.pages['https://keys.test/moved'] = 'moved keys';
    expect(await site.load()).toBe('moved keys');
  });

  it.each([
    [
      metadata({ issuer: 'https://issuer.test/realms/b' }),
      'is about the issuer "https://issuer.test/realms/b", not',
    ],
    [metadata({ issuer: `${issuer}/` }), 'is about the issuer'],
    [metadata({ issuer: undefined }), 'is about the issuer undefined'],
    [metadata({ jwks_uri: undefined }), 'names no jwks_uri'],
    [metadata({ jwks_uri: 1 }), 'names no jwks_uri'],
    [metadata({ jwks_uri: 'http://keys.test/jwks' }), 'plain http'],
    [metadata({ jwks_uri: 'http://127.0.0.1:9901/' }), 'plain http, and the issuer is not'],
    [metadata({ jwks_uri: 'http://[::ffff:127.0.0.1]/' }), 'plain http, and the issuer is not'],
    [metadata({ jwks_uri: `https://keys.test/${'x'.repeat(2048)}` }), 'names no jwks_uri'],
    [metadata({ jwks_uri: 'file:///etc/passwd' }), 'not an https URL'],
    [metadata({ jwks_uri: 'https://user:pass@keys.test/' }), 'user name or password'],
    ['<html>', 'not strict JSON'],
    ['{"issuer":"a","issuer":"b"}', 'a member appears twice'],
  ])('are not taken from %s', async (page, message) => {
    const { load, asked } = source({ [openid]: page });
    expect(await faultOf(load)).toContain(message);
    expect(asked).toEqual([openid]);
  });

  it('have one deadline for all their fetches', async () => {
    const { load, bounds } = source({ [oauth]: metadata(), [jwksUri]: 'keys' });
    await load();
    expect(bounds.map(({ timeoutMs }) => timeoutMs)).toEqual([5000, 4000, 3000]);
  });
});

describe('the address of keys', () => {
  it.each(['https://keys.test/', 'http://127.0.0.1:8080/', 'http://localhost/jwks', 'http://[::1]:1/'])(
    'may be %s',
    async (uri) => {
      expect(await faultOf(() => source({}, { uri }))).toBe('none');
    },
  );

  it.each([
    ['http://keys.test/', 'plain http'],
    ['http://127.0.0.1.evil.test/', 'plain http'],
    ['http://localhost.evil.test/', 'plain http'],
    ['http://127.evil.test/', 'plain http'],
    ['ftp://keys.test/', 'not an https URL'],
    ['keys', 'not a URL'],
    ['https://a:b@keys.test/', 'user name or password'],
  ])('may not be %s', async (uri, message) => {
    const fault = await faultOf(() => source({}, { uri }));
    expect(fault).toContain(message);
    expect(fault).toMatch(/^ERR_CONFIG_INVALID/);
  });

  it('may be plain http beyond loopback only where that is said', async () => {
    expect(await faultOf(() => source({}, { uri: 'http://keys.test/', allowHttp: true }))).toBe('none');
    expect(await faultOf(() => source({}, { issuer: 'http://issuer.test' }))).toContain('plain http');
  });

  it('with certificates that cannot be read is a failed fetch', async () => {
    const { load } = source({}, { uri: jwksUri, caFile: '/nonexistent/ca.pem' });
    expect(await faultOf(load)).toContain('ERR_JWKS_UNAVAILABLE: cannot read the certificates');
  });
});
