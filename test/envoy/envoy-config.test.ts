import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { fold } from '../../src/check/reserved-headers.ts';
import { defaultBounds } from '../../src/grpc/server-bounds.ts';
import { findEnvoy } from '../../src/demo/programs.ts';
import { envoyConfig } from '../../src/injection/envoy-config.ts';
import type { EnvoyConfigOptions, EnvoyService } from '../../src/injection/envoy-options.ts';
import { otherSpellings } from '../../src/injection/envoy-reserved.ts';
import { temporaryDirectory } from '../temporary.ts';
import { createAuthority } from '../grpc/certificates.ts';

const service = (overrides: Partial<EnvoyService> = {}): EnvoyService => ({
  name: 'orders',
  listen: { host: '127.0.0.1', port: 8000 },
  upstream: { host: '127.0.0.1', port: 3000 },
  ...overrides,
});

const config = (options: Partial<EnvoyConfigOptions> = {}, ...services: EnvoyService[]) =>
  envoyConfig({
    services: services.length > 0 ? services : [service()],
    authorizer: { kind: 'unix', path: '/run/curfew/authorizer.sock' },
    ...options,
  });

/** Every object in a configuration that has this key. */
function withKey(value: unknown, key: string): Record<string, unknown>[] {
  if (typeof value !== 'object' || value === null) return [];
  const inner = Object.values(value).flatMap((child) => withKey(child, key));
  return key in value ? [value as Record<string, unknown>, ...inner] : inner;
}

describe('the Envoy configuration we recommend', () => {
  it.each([
    ['the shortest', config()],
    [
      'one with everything',
      config(
        {
          authorizer: { kind: 'tcp', host: 'authorizer.internal', port: 9001 },
          authorizerTls: { ca: 'CA', cert: 'CERT', key: 'KEY', serverName: 'authorizer' },
          authorizerTimeoutMs: 250,
          sources: [{ header: 'x-token' }, { cookie: 'session' }],
          reservedPrefix: 'x-user.id-',
          cors: true,
          loginRedirect: true,
          admin: { host: '127.0.0.1', port: 9901 },
        },
        service({
          upstream: { host: 'orders.internal', port: 3000, protocol: 'http2' },
          policy: { access: 'optional', audience: 'a', scopes: ['b', 'c'], maxExposure: '10s' },
          routes: [
            { path: { exact: '/a' }, policy: {} },
            { path: { prefix: '/' }, policy: { scopes: ['x'] } },
          ],
          publicPaths: [{ exact: '/healthz' }, { prefix: '/static/' }],
          corsPreflight: 'deny',
          maxStreamDurationMs: 1500,
        }),
        service({
          name: 'other',
          listen: { host: '::', port: 8001 },
          upstream: { host: '10.0.0.1', port: 1, sourceAddress: '127.0.0.6' },
        }),
      ),
    ],
    ['one without an access log', config({ accessLog: 'none' })],
    [
      'one for a header with every sign that names may have',
      config({ sources: [{ header: "!b#c$d%e&f'g*h+i.j^k_l`m|n~o-" }, { header: '-.a' }] }),
    ],
    [
      'one for the longest headers',
      config({
        sources: [
          { header: `x-${'a'.repeat(85)}` },
          { header: `${'a'.repeat(62)}-_.^~-b` },
          { header: '-'.repeat(22) },
          { header: 'a'.repeat(128) },
        ],
      }),
    ],
    ['one with the shortest time-out of a check', config({ authorizerTimeoutMs: 1 })],
  ])('is accepted by Envoy: %s', async (_, tree) => {
    const folder = temporaryDirectory();
    const { cert, key } = createAuthority().issue('envoy');
    for (const [name, text] of Object.entries({ CA: cert, CERT: cert, KEY: key }))
      writeFileSync(join(folder, name), text);
    const file = join(folder, 'envoy.yaml');
    writeFileSync(file, stringify(tree));
    const program = await findEnvoy({ sharedDirectory: folder });
    const args = [...program.args, '--mode', 'validate', '--config-path', file];
    const { status, stderr } = spawnSync(program.command, args, { cwd: folder, encoding: 'utf8' });
    expect(stderr).not.toMatch(/deprecated|error/i);
    expect(status).toBe(0);
  });

  it('never lets a request pass because the authorizer did not answer', () => {
    const filters = withKey(config(), 'failure_mode_allow');
    expect(filters).toHaveLength(1);
    expect(filters[0]).toMatchObject({
      failure_mode_allow: false,
      status_on_error: { code: 'ServiceUnavailable' },
      grpc_service: { timeout: '1s' },
    });
  });

  it.each([
    [1000, '0.025s', '1s'],
    [10, '0.01s', '0.01s'],
  ])(
    'retries a check of %d ms within its time, at another authorizer',
    (authorizerTimeoutMs, base_interval, max_interval) => {
      const [check] = withKey(config({ authorizerTimeoutMs }), 'retry_policy');
      expect(check?.['retry_policy']).toMatchObject({
        retry_on: 'connect-failure,refused-stream',
        retry_back_off: { base_interval, max_interval },
        retry_host_predicate: [{ name: 'envoy.retry_host_predicates.previous_hosts' }],
      });
    },
  );

  it('opens another connection to the authorizer before the limit of one is passed', () => {
    const [limit] = withKey(config(), 'max_concurrent_streams');
    expect(limit?.['max_concurrent_streams']).toBe(defaultBounds.maxConcurrentStreams);
  });

  it('strips before it asks, and asks before it forwards', () => {
    const filters = withKey(config(), 'http_filters')[0]?.['http_filters'] as { name: string }[];
    expect(filters.map(({ name }) => name)).toEqual([
      'curfew.strip_reserved_headers',
      'envoy.filters.http.ext_authz',
      'envoy.filters.http.router',
    ]);
  });

  it.each([
    [['x-api-key']],
    [['a.b']],
    [['-a^b']],
    [['x-api-key', 'x_api_key']],
    [['x-api-key', 'x_api_key', 'x.api.key', 'x-api.key']],
    [['authorization', "~a]-\\b'"]],
  ])('removes exactly the other spellings of %j', (headers) => {
    const regexes = otherSpellings(headers.map((header) => ({ header }))).map(
      (matcher) => new RegExp(`^(?:${(matcher['safe_regex'] as { regex: string }).regex})$`),
    );
    const sign = fc.constantFrom('-', '_', '.', '^', ']', '\\', '[', '+', '~', "'", '0', 'a');
    const near = fc
      .tuple(fc.constantFrom(...headers), fc.array(sign, { minLength: 5, maxLength: 5 }))
      .map(([name, signs]) => name.replaceAll(/[^a-z0-9]/g, () => signs.pop() ?? ''));
    fc.assert(
      fc.property(fc.oneof(near, fc.constantFrom(...headers), fc.string({ maxLength: 5 })), (name) => {
        const isOther =
          name === name.toLowerCase() &&
          !headers.includes(name) &&
          headers.some((header) => fold(header) === fold(name));
        expect(regexes.some((regex) => regex.test(name))).toBe(isOther);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([`x-${'a'.repeat(86)}`, '-'.repeat(23), 'a-'.repeat(20)])(
    'refuses %j as a source: Envoy has no room for the expressions that match it',
    (header) => {
      expect(() => config({ sources: [{ header }] })).toThrow(/source .* too long/);
    },
  );

  it.each([0, -1, 1001, NaN, Infinity])('refuses a time-out of %d ms', (authorizerTimeoutMs) => {
    expect(() => config({ authorizerTimeoutMs })).toThrow(/authorizerTimeoutMs/);
  });

  it.each(['', 'x', 'x-auth', 'X-Auth-', 'x auth-', 'x-auth-\n'])(
    'refuses the reserved prefix %j',
    (reservedPrefix) => {
      expect(() => config({ reservedPrefix })).toThrow(/reservedPrefix/);
    },
  );

  it.each([
    '',
    'healthz',
    '/a b',
    '/a?b',
    '/a#b',
    '/a%2fb',
    '/a//b',
    '//a',
    '/a/../b',
    '/a/.',
    '/..',
    '/a;b',
    '/ä',
    '/a\\b',
  ])('refuses %j as a public path: Envoy would never see it so', (path) => {
    expect(() => config({}, service({ publicPaths: [{ exact: path }] }))).toThrow(/path/);
    expect(() => config({}, service({ publicPaths: [{ prefix: path }] }))).toThrow(/path|prefix/);
  });

  it('refuses to make every path public', () => {
    expect(() => config({}, service({ publicPaths: [{ prefix: '/' }] }))).toThrow(/every path/);
  });
});

/** The regular expression of a public prefix. RE2 matches the whole path, and knows all that it uses. */
function publicPrefix(prefix: string): RegExp {
  const patterns = withKey(config({}, service({ publicPaths: [{ prefix }] })), 'safe_regex').map(
    ({ safe_regex: found }) => (found as { regex: string }).regex,
  );
  return new RegExp(`^(?:${patterns.find((pattern) => pattern.startsWith('/'))})$`, 's');
}

/**
 * How lenient servers read a path: escapes decoded up to twice, parameters cut off segments, dots resolved.
 */
function readings(path: string): string[] {
  const decoded = [path, unescaped(path), unescaped(unescaped(path))];
  return decoded.flatMap((text) => [text, text.replaceAll(/;[^/]*/g, '')]).map(resolved);
}

const unescaped = (path: string): string =>
  path
    .replaceAll(/%c0%ae/gi, '.')
    .replaceAll(/%c0%af/gi, '/')
    .replaceAll(/%e0%80%ae/gi, '.')
    .replaceAll(/%f0%80%80%af/gi, '/')
    .replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

function resolved(path: string): string {
  const kept: string[] = [];
  for (const segment of path.replaceAll('\\', '/').split('\0', 1)[0]?.split('/') ?? []) {
    if (segment === '..') kept.pop();
    else if (segment !== '.' && segment !== '') kept.push(segment);
  }
  return `/${kept.join('/')}`;
}

describe('a public prefix', () => {
  const regex = publicPrefix('/static');

  it('holds whole segments', () => {
    expect(
      ['/static', '/static/', '/static/a/b.js', '/static/%20%C3%A4%e2%82%ac%F0%9F%98%80'].every((path) =>
        regex.test(path),
      ),
    ).toBe(true);
    expect(['/statics', '/static.js', '/Static/', '/x/static/'].some((path) => regex.test(path))).toBe(false);
  });

  it('holds nothing that a lenient server reads as a path outside of it', () => {
    const dangerous =
      '/ . .. ; ;x=1 %2e %2E%2e %2f %5c \\ %00 %3b %25 %252e %c0%ae %e0%80%AE %F0%80%80%af'.split(' ');
    const piece = fc.constantFrom(...dangerous, 'a', '~', '%20', '%41');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        // Envoy resolves plain dot segments and merges slashes before it looks for a route.
        const path = envoyNormalized(`/static/${pieces.join('')}`);
        const escapes = readings(path).filter((read) => read !== '/static' && !read.startsWith('/static/'));
        expect(regex.test(path) && escapes.length > 0 ? [path, ...escapes] : []).toEqual([]);
      }),
      { numRuns: 20_000 },
    );
  });
});

function envoyNormalized(path: string): string {
  const trailing = /\/(?:\.{0,2}|%2e)$/i.test(path);
  const kept: string[] = [];
  for (const segment of path.replaceAll('\\', '/').split('/')) {
    const dots = segment.replaceAll(/%2e/gi, '.');
    if (dots === '..') kept.pop();
    else if (dots !== '.' && segment !== '') kept.push(segment);
  }
  return `/${kept.join('/')}${trailing && kept.length > 0 ? '/' : ''}`;
}
