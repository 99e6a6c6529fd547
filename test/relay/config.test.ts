import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
import { authorizerSchema } from '../../src/config/authorizer.ts';
import { relaySchema } from '../../src/config/relay.ts';
import { configuredReceivers } from '../../src/receivers/configured-receivers.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { repository } from '../processes.ts';
import { capturedLog, testMetrics } from '../token/fixtures.ts';

const issuer = 'https://kc.example/realms/shop';
const minimal = { redis: { url: 'redis://127.0.0.1:6379' }, issuers: [{ issuer }] };
const secrets = ['whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'];

const problems = (overrides: Record<string, unknown>): string[] =>
  (v.safeParse(relaySchema, { ...minimal, ...overrides }).issues ?? []).map(({ message }) => message);

describe('the relay’s configuration', () => {
  it('needs few keys, and assumes that senders do not retry', () => {
    const config = v.parse(relaySchema, {
      ...minimal,
      receivers: [{ kind: 'backchannel-logout', path: '/logout', issuer, audience: 'web' }],
    });
    expect(config).toMatchObject({
      listen: { port: 8081 },
      admin: { host: '127.0.0.1', port: 9012 },
      database: { sqlite: './relay.db' },
      revocation: { log: 'curfew', clockTolerance: 5000 },
      issuers: [{ issuer, maxTokenLifetime: 300_000 }],
      receivers: [{ audience: ['web'], exp: 'required', redelivery: 0 }],
    });
  });

  it('lets a webhook revoke neither keys nor whole issuers by default', () => {
    const config = v.parse(relaySchema, {
      ...minimal,
      receivers: [{ kind: 'webhook', path: '/hook', issuer, secrets }],
    });
    expect(config.receivers[0]).toMatchObject({
      issuer: [issuer],
      kinds: ['session', 'token', 'subject', 'client'],
    });
  });

  const logout = { kind: 'backchannel-logout', path: '/logout', issuer, audience: 'web' };
  const setPush = { kind: 'set-push', path: '/events', issuer, audience: 'a' };
  it.each<[string, Record<string, unknown>, string]>([
    ['an unknown key', { events: [] }, ''],
    ['an issuer twice', { issuers: [{ issuer }, { issuer }] }, 'each issuer may appear once'],
    ['a path twice', { receivers: [logout, logout] }, 'each path may appear once'],
    ['no issuers', { issuers: [] }, 'must name at least one issuer'],
    [
      'a receiver of an unknown issuer',
      { receivers: [{ ...logout, issuer: `${issuer}/` }] },
      "each receiver's issuer must be one of `issuers`, byte for byte",
    ],
    ['an unknown kind', { receivers: [{ ...logout, kind: 'carrier-pigeon' }] }, 'kind must be'],
    ['no audience', { receivers: [{ ...logout, audience: [] }] }, 'must name at least one audience'],
    ['an exp that is neither required nor optional', { receivers: [{ ...logout, exp: false }] }, 'required'],
    ['an optional exp where tokens need none', { receivers: [{ ...setPush, exp: 'optional' }] }, 'exp'],
    ['a path that is none', { receivers: [{ ...logout, path: 'logout' }] }, 'must be a path'],
    [
      'no secret',
      { receivers: [{ kind: 'webhook', path: '/hook', issuer, secrets: [] }] },
      'must contain one secret',
    ],
    [
      'three secrets',
      {
        receivers: [
          { kind: 'webhook', path: '/hook', issuer, secrets: [...secrets, ...secrets, ...secrets] },
        ],
      },
      'at most two secrets',
    ],
    [
      'an HMAC algorithm without a secret',
      { receivers: [{ kind: 'fusionauth', path: '/fa', issuer, algorithms: ['HS256'] }] },
      'HS* algorithms need `secret`',
    ],
    [
      'keys and a secret',
      {
        receivers: [{ kind: 'fusionauth', path: '/fa', issuer, jwks: { file: 'a' }, secret: { file: 'b' } }],
      },
      '`secret` excludes `jwks`',
    ],
    [
      'an issuer that is no URL, and no keys',
      {
        issuers: [{ issuer: 'acme.com' }],
        receivers: [{ kind: 'fusionauth', path: '/fa', issuer: 'acme.com' }],
      },
      'discovery needs a sender that is a URL',
    ],
    [
      'a sender that is no URL, though the issuer has keys',
      {
        issuers: [{ issuer, jwks: { file: 'keys.json' } }],
        receivers: [{ kind: 'set-push', path: '/e', issuer, sender: 'acme', audience: 'a' }],
      },
      'discovery needs a sender that is a URL',
    ],
  ])('refuses %s', (_, overrides, message) => {
    const found = problems(overrides);
    expect(found.length).toBeGreaterThan(0);
    expect(found.join('\n')).toContain(message);
  });

  const pages = ['relay.md', 'bring-your-own-idp.md'].map((page) =>
    readFileSync(join(repository, 'docs', page), 'utf8'),
  );
  it.each([
    ['relay', relaySchema, 7],
    ['authorizer', authorizerSchema, 7],
  ])('of %s is valid to the last key wherever the documentation shows it', (program, schema, least) => {
    const pattern = new RegExp(`\`\`\`yaml ${program}\\n(.*?)\`\`\``, 'gs');
    const blocks = [...pages.join('\n').matchAll(pattern)];
    expect(blocks.length).toBeGreaterThanOrEqual(least);
    for (const [, block] of blocks) expect(v.safeParse(schema, parse(block ?? '')).issues).toBeUndefined();
  });

  it('has receivers that can be created as documented', () => {
    const blocks = [...pages.join('\n').matchAll(/```yaml relay\n(.*?)```/gs)];
    for (const [, block] of blocks) {
      const { receivers, issuers } = v.parse(relaySchema, parse(block ?? ''));
      const { log } = capturedLog();
      const dependencies = { clock: systemClock, log, metrics: testMetrics() };
      const made = configuredReceivers({ receivers, issuers, clockToleranceMs: 5000, ...dependencies });
      expect(made).toHaveLength(receivers.length);
    }
  });
});
