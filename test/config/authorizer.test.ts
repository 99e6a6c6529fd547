import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { authorizerSchema } from '../../src/config/authorizer.ts';
import { ConfigFault, loadConfig } from '../../src/runtime/config.ts';
import { temporaryDirectory } from '../temporary.ts';

function load(yaml: string, environment: Record<string, string> = {}) {
  const file = join(temporaryDirectory(), 'authorizer.yaml');
  writeFileSync(file, yaml);
  return loadConfig({ schema: authorizerSchema, file, environment });
}

function problemsOf(yaml: string): Record<string, string> {
  try {
    load(yaml);
  } catch (thrown) {
    if (thrown instanceof ConfigFault)
      return Object.fromEntries(thrown.problems.map(({ path, message }) => [path, message]));
    throw thrown;
  }
  return {};
}

const issuer = (settings: string): string =>
  `issuers: [{ issuer: "https://idp.example", audiences: [orders], ${settings} }]`;

describe("the authorizer's configuration", () => {
  it('needs only an issuer and its audiences', () => {
    const config = load('issuers: [{ issuer: "https://idp.example", audiences: [orders] }]');
    expect(config).toMatchObject({
      listen: { kind: 'tcp', host: '127.0.0.1', port: 9001 },
      admin: { kind: 'tcp', host: '127.0.0.1', port: 9002 },
      drain: 10_000,
      token: { sources: [{ header: 'authorization' }], maxBytes: 8192 },
      upstream: { prefix: 'x-auth-', forwardAuthorization: true, metadata: true },
      denied: { detail: 'minimal', corsOrigins: [] },
      log: { level: 'info', decisions: 'denied' },
      engine: 'auto',
      mode: 'enforce',
    });
    expect(config.issuers[0]).toMatchObject({
      maxTokenLifetime: 300_000,
      clockTolerance: 5000,
      revocation: 'required',
    });
    expect(config.revocation).toBeUndefined();
  });

  it('accepts every documented key', () => {
    const config = load(`
listen: unix:///run/curfew/authorizer.sock
admin: 127.0.0.1:9002
drainDelay: 10m
drain: 10s
issuers:
  - issuer: https://identity.example
    preset: keycloak
    audiences: [orders]
    algorithms: [RS256]
    jwks: { uri: https://identity.example/jwks, refresh: 5m, cooldown: 10s, timeout: 5s, maxBytes: 256k, maxStale: 24h }
    types: [at+jwt]
    sessionClaim: grant_id
    sessionExempt: { claim: gty, value: client-credentials }
    maxTokenLifetime: 5m
    clockTolerance: 5s
    revocation: required
  - issuer: https://hmac.example
    audiences: any
    algorithms: [HS256]
    secret: { file: /run/secrets/hmac, encoding: raw, kid: one }
    revocation: none
revocation:
  redis: { url: redis://127.0.0.1:6379, username: curfew, password: { file: /run/secrets/redis }, tls: {} }
  log: curfew
  maxExposure: 30s
  maxEntries: 200000
  waitForSync: forever
token:
  sources: [{ header: authorization }, { cookie: session }]
  maxBytes: 8192
upstream:
  prefix: x-auth-
  headers: { x-auth-subject: sub }
  forwardAuthorization: false
denied: { detail: full, corsOrigins: ["https://app.example"] }
log: { level: debug, decisions: all }
mode: shadow
`);
    expect(config.revocation?.waitForSync).toBe(Infinity);
    expect(config.issuers).toHaveLength(2);
  });

  it('accepts a group of sentinels', () => {
    const config = load(
      `${issuer('')}\nrevocation: { redis: { sentinels: [{ host: a }, { host: b, port: 5000 }], name: main } }`,
    );
    expect(config.revocation?.redis).toMatchObject({
      name: 'main',
      sentinels: [
        { host: 'a', port: 26_379 },
        { host: 'b', port: 5000 },
      ],
    });
  });

  it.each([
    ['no issuers', 'issuers: []', 'issuers'],
    ['an issuer without audiences', 'issuers: [{ issuer: "https://a" }]', 'issuers[0].audiences'],
    [
      'an empty list of audiences',
      'issuers: [{ issuer: "https://a", audiences: [] }]',
      'issuers[0].audiences',
    ],
    ['an unknown algorithm', issuer('algorithms: [none]'), 'issuers[0].algorithms[0]'],
    ['HMAC without a secret', issuer('algorithms: [HS256]'), 'issuers[0].algorithms'],
    ['a secret without an HMAC algorithm', issuer('secret: { file: /a, kid: b }'), 'issuers[0].algorithms'],
    [
      'HMAC beside other algorithms',
      issuer('algorithms: [HS256, RS256], secret: { file: /a, kid: b }'),
      'issuers[0].algorithms',
    ],
    [
      'a secret beside a key set',
      issuer('algorithms: [HS256], secret: { file: /a, kid: b }, jwks: { uri: "https://a" }'),
      'issuers[0].jwks',
    ],
    [
      'an issuer twice',
      'issuers: [{ issuer: a, audiences: any, jwks: { file: /a } }, { issuer: a, audiences: any, jwks: { file: /b } }]',
      'issuers',
    ],
    [
      'discovery from an issuer that is no URL',
      'issuers: [{ issuer: me, audiences: any }]',
      'issuers[0].jwks',
    ],
    [
      'an exposure too short to hold',
      `${issuer('')}\nrevocation: { redis: { url: "redis://h" }, maxExposure: 9s }`,
      'revocation.maxExposure',
    ],
    [
      'an upstream header outside the prefix',
      `${issuer('')}\nupstream: { headers: { x-user: sub } }`,
      'upstream.headers',
    ],
    ['TLS on a Unix socket', `${issuer('')}\nlisten: unix:///a.sock\ntls: { cert: /a, key: /b }`, 'tls'],
    ['a drain delay of more than ten minutes', `${issuer('')}\ndrainDelay: 601s`, 'drainDelay'],
    ['a misspelt key', `${issuer('')}\nmod: shadow`, 'mod'],
    [
      'a log name that could widen an ACL',
      `${issuer('')}\nrevocation: { redis: { url: "redis://h" }, log: "a*" }`,
      'revocation.log',
    ],
  ])('refuses %s, and names the field', (_what, yaml, path) => {
    expect(Object.keys(problemsOf(yaml))).toEqual([path]);
  });

  it('explains what to write instead', () => {
    expect(problemsOf(issuer('algorithms: [HS256]'))['issuers[0].algorithms']).toContain('`secret`');
  });
});
