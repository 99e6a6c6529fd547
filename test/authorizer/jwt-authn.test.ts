import { createSecretKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { envoyConfig } from '../../src/injection/envoy-config.ts';
import { startEchoService, type EchoService } from '../envoy/echo-service.ts';
import { startEnvoyWith, type RunningEnvoy } from '../envoy/envoy-process.ts';
import { repository } from '../processes.ts';
import { encode, issueToken, jwkSetOf, signCompact, testIssuer, testKey } from '../token/tokens.ts';
import { startAuthorizer, untilReady, type AuthorizerProgram } from './authorizer-program.ts';

// The same requests to Envoy's own jwt_authn filter and to the authorizer; docs/jwt-authn-differences.md
// explains every difference, and this test holds the table there to what really happens.

let folder: string;
let echo: EchoService;
let authorizer: AuthorizerProgram;
let envoy: RunningEnvoy;

const keys = [testKey('RS256'), testKey('ES256'), testKey('PS256'), testKey('EdDSA')];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'curfew-jwt-authn-'));
  const file = join(folder, 'jwks.json');
  writeFileSync(file, jwkSetOf(...keys));
  const issuer = { issuer: testIssuer, audiences: ['orders'], jwks: { file } };
  [echo, authorizer] = await Promise.all([
    startEchoService(),
    startAuthorizer(folder, { issuers: [issuer] }),
  ]);
  await untilReady(authorizer);
  envoy = await startEnvoyWith(bothFilters());
});

afterAll(async () => {
  await Promise.all([envoy.stop(), authorizer.stop(), echo.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

type Filter = { name: string; typed_config: Record<string, unknown> };
type Manager = { http_filters: Filter[] };
type Config = {
  static_resources: { listeners: { filter_chains: { filters: { typed_config: Manager }[] }[] }[] };
};

/** The recommended configuration twice; in the second, jwt_authn stands where the authorizer was asked. */
function bothFilters(): Config {
  const service = (name: string) => ({
    name,
    listen: { host: '127.0.0.1', port: 0 },
    upstream: { host: '127.0.0.1', port: echo.port, protocol: 'http1' as const },
  });
  const config = envoyConfig({
    authorizer: authorizer.address,
    services: [service('curfew'), service('jwt_authn')],
    admin: { host: '127.0.0.1', port: 0 },
    accessLog: 'none',
  }) as unknown as Config;
  const filters =
    config.static_resources.listeners[1]?.filter_chains[0]?.filters[0]?.typed_config.http_filters ?? [];
  const at = filters.findIndex(({ name }) => name === 'envoy.filters.http.ext_authz');
  filters[at] = {
    name: 'envoy.filters.http.jwt_authn',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
      providers: {
        test: {
          issuer: testIssuer,
          audiences: ['orders'],
          local_jwks: { inline_string: jwkSetOf(...keys) },
          forward: true,
          clock_skew_seconds: 5,
        },
      },
      rules: [{ match: { prefix: '/' }, requires: { provider_name: 'test' } }],
    },
  };
  return config;
}

type Request = { authorization?: string | string[]; path?: string };
type Verdict = 'accepts' | 'refuses';

async function verdict(
  by: 'curfew' | 'jwt_authn',
  { authorization = [], path = '/' }: Request,
): Promise<Verdict> {
  const headers = ['Host', 'orders', ...[authorization].flat().flatMap((value) => ['Authorization', value])];
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  request(`${envoy.url(by)}${path}`, { headers }, (response) => {
    response.resume();
    resolve(response.statusCode ?? 0);
  })
    .on('error', reject)
    .end();
  return (await promise) === 200 ? 'accepts' : 'refuses';
}

const bearer = (token: string): Request => ({ authorization: `Bearer ${token}` });
const now = () => Math.floor(Date.now() / 1000);
const withClaims = (claims: Record<string, unknown>): Request => bearer(issueToken({ claims }));
const withHeader = (header: Record<string, unknown>): Request => bearer(issueToken({ header }));

/** A token whose payload is this text, with the usual claims' JSON to change. */
function withPayload(change: (json: string) => string): Request {
  const payload = Buffer.from(issueToken().split('.')[1] ?? '', 'base64url').toString();
  return bearer(
    signCompact(
      JSON.stringify({ alg: 'RS256', typ: 'at+jwt', kid: testKey().kid }),
      change(payload),
      testKey(),
    ),
  );
}

const publicKeyBytes = () =>
  Buffer.from(testKey().publicKey.export({ type: 'spki', format: 'pem' }).toString());

// By the first column of the table in the documentation.
const cases: Record<string, () => Request> = {
  'a good token, RS256': () => bearer(issueToken()),
  'a good token, ES256': () => bearer(issueToken({ key: testKey('ES256') })),
  'a good token, PS256': () => bearer(issueToken({ key: testKey('PS256') })),
  'a good token, EdDSA': () => bearer(issueToken({ key: testKey('EdDSA') })),
  'no token': () => ({}),
  'another scheme': () => ({ authorization: 'Basic dXNlcjpwYXNzd29yZA==' }),
  'not a JWT': () => bearer('nonsense'),
  'a good token cut short': () => bearer(issueToken().slice(0, -10)),
  'a changed payload': () => {
    const [header, , signature] = issueToken().split('.');
    return bearer([header, encode(JSON.stringify({ iss: testIssuer, sub: 'root' })), signature].join('.'));
  },
  '`alg: none`, without a signature': () => {
    const [, payload] = issueToken().split('.');
    return bearer(`${encode(JSON.stringify({ alg: 'none', typ: 'at+jwt' }))}.${payload}.`);
  },
  'HS256 with the public key as the secret': () =>
    bearer(issueToken({ secret: { bytes: publicKeyBytes(), algorithm: 'HS256', kid: testKey().kid } })),
  'a key of another algorithm': () =>
    bearer(issueToken({ key: testKey('ES256'), header: { kid: testKey().kid } })),
  'an unknown `kid`': () => bearer(issueToken({ key: testKey('RS256', 'stranger') })),
  'no `kid`, one key fits': () => withHeader({ kid: undefined }),
  'another issuer': () => withClaims({ iss: 'https://other.test' }),
  'the issuer with a slash more': () => withClaims({ iss: `${testIssuer}/` }),
  'no `iss`': () => withClaims({ iss: undefined }),
  'another audience': () => withClaims({ aud: 'invoices' }),
  'no `aud`': () => withClaims({ aud: undefined }),
  'one of several audiences': () => withClaims({ aud: ['invoices', 'orders'] }),
  'an `aud` with a number in it': () => withClaims({ aud: ['orders', 1] }),
  'expired within the tolerance': () => bearer(issueToken({ now: now() - 62 })),
  expired: () => bearer(issueToken({ now: now() - 120 })),
  'not yet valid (`nbf`)': () => withClaims({ nbf: now() + 30 }),
  'no `exp`': () => withClaims({ exp: undefined }),
  '`exp` as a text': () => withClaims({ exp: String(now() + 60) }),
  '`exp` with a fraction': () => withClaims({ exp: now() + 60.5 }),
  '`exp` of 1e30': () => withPayload((json) => json.replace(/"exp":\d+/, '"exp":1e30')),
  'a lifetime of ten years': () => bearer(issueToken({ lifetimeSeconds: 315_360_000 })),
  'no `iat`': () => withClaims({ iat: undefined }),
  'issued in the future': () => bearer(issueToken({ now: now() + 30 })),
  'no `sub`': () => withClaims({ sub: undefined }),
  'a `sub` that is a number': () => withClaims({ sub: 17 }),
  'no session claim': () => withClaims({ grant_id: undefined }),
  '`typ: JWT`': () => withHeader({ typ: 'JWT' }),
  'no `typ`': () => withHeader({ typ: undefined }),
  'an unknown `crit`': () => withHeader({ crit: ['secret'], secret: 1 }),
  'a `jku` or `jwk` in the header': () =>
    withHeader({ jku: 'https://evil.test/keys', jwk: testKey('RS256', 'stranger').jwk }),
  'a claim given twice': () => withPayload((json) => json.replace(/}$/, ',"sub":"root"}')),
  'a payload that is an array': () => withPayload(() => '[]'),
  'padding in the encoding': () => {
    const [header, payload, signature] = issueToken({ claims: { pad: 'x' } }).split('.');
    return bearer([header, payload, `${signature}==`].join('.'));
  },
  'the scheme in lower case': () => ({ authorization: `bearer ${issueToken()}` }),
  'two spaces after the scheme': () => ({ authorization: `Bearer  ${issueToken()}` }),
  'something behind the token': () => ({ authorization: `Bearer ${issueToken()},x` }),
  'something before the scheme': () => ({ authorization: `x Bearer ${issueToken()}` }),
  'two different tokens in two headers': () => ({
    authorization: [`Bearer ${issueToken()}`, `Bearer ${issueToken({ claims: { sub: 'root' } })}`],
  }),
  'a token in the query (`access_token`)': () => ({ path: `/?access_token=${issueToken()}` }),
  'a token of 20 kB': () => withClaims({ filler: 'x'.repeat(15_000) }),
};

const documented = [
  ...readFileSync(join(repository, 'docs/jwt-authn-differences.md'), 'utf8').matchAll(
    /^\| (?<name>[^|]+?) +\| (?<theirs>accepts|refuses) +\| (?<ours>accepts|refuses) +\|/gm,
  ),
].map(({ groups }) => [groups?.['name'] ?? '', groups?.['theirs'], groups?.['ours']] as const);

describe("beside Envoy's jwt_authn", () => {
  it('the documentation has a row for every case tried, and for no other', () => {
    expect(documented.map(([name]) => name).toSorted()).toEqual(Object.keys(cases).toSorted());
  });

  it.each(documented)('%s: jwt_authn %s, the authorizer %s', async (name, theirs, ours) => {
    const tried = cases[name]?.() ?? {};
    expect(await verdict('jwt_authn', tried)).toBe(theirs);
    expect(await verdict('curfew', tried)).toBe(ours);
  });

  it('a mutated token is refused, whatever was changed', async () => {
    const good = issueToken({ claims: { jti: 'mutated' }, lifetimeSeconds: 300 });
    const character = fc.constantFrom(
      ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ,'.split(''),
    );
    const inserted = fc.string({ unit: character, maxLength: 3 });
    const mutation = fc.tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 3 }), inserted);
    await fc.assert(
      fc.asyncProperty(mutation, async ([at, removed, text]) => {
        const token = good.slice(0, at) + text + good.slice(at + removed);
        // Spaces and an empty list element behind a token are no part of it (RFC 9110 §5.6.1).
        const same = token.replace(/[ ,]+$/, '') === good;
        expect(await verdict('curfew', bearer(token))).toBe(same ? 'accepts' : 'refuses');
      }),
      { numRuns: 300 },
    );
  });
});

// Only so that the confusion attack above is what it says.
it('the public key can serve as an HMAC secret', () => {
  expect(createSecretKey(publicKeyBytes()).symmetricKeySize).toBeGreaterThan(32);
});
