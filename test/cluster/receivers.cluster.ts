import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { identitySchema } from '../../src/config/identity.ts';
import { refusal, render } from './helm.ts';

const foreign = { issuer: 'https://kc.example/realms/shop', preset: 'keycloak', audiences: ['orders'] };
const receiver = {
  kind: 'backchannel-logout',
  path: '/notices/logout',
  issuer: foreign.issuer,
  audience: 'web',
};
const identity = {
  enabled: true,
  issuer: 'https://id.example',
  clients: [
    { client_id: 'web', token_endpoint_auth_method: 'none', redirect_uris: ['https://app.example/cb'] },
  ],
  resources: { orders: { scopes: ['read'] } },
  receivers: [receiver],
};
const redis = { url: 'redis://redis:6379' };

/** The configuration that the chart writes for identity. */
async function configOf(values: Record<string, unknown>) {
  const manifests = await render({ redis, identity, ...values });
  const secret = manifests.find(
    ({ kind, metadata }) => kind === 'Secret' && metadata.name === 'curfew-identity-config',
  );
  return v.parse(identitySchema, parse(secret?.stringData?.['identity.yaml'] ?? ''));
}

describe('identity in the chart', () => {
  it('takes events about the issuers of others', async () => {
    const { foreignIssuers, receivers } = await configOf({ issuers: [foreign] });
    expect(foreignIssuers).toMatchObject([{ issuer: foreign.issuer, preset: 'keycloak' }]);
    expect(receivers).toMatchObject([{ path: '/notices/logout', issuer: foreign.issuer }]);
  });

  it('owns the log for each issuer whose tokens can be revoked, and not twice for its own', async () => {
    const issuers = [
      foreign,
      { issuer: identity.issuer, audiences: ['orders'] },
      { issuer: 'https://never.example', audiences: ['orders'], revocation: 'none' },
    ];
    const { foreignIssuers } = await configOf({ issuers });
    expect(foreignIssuers.map(({ issuer }) => issuer)).toEqual([foreign.issuer]);
  });

  it('configures an issuer with a shared secret, but not its algorithm for notices', async () => {
    const hmac = {
      issuer: 'https://hmac.example',
      audiences: ['orders'],
      algorithms: ['HS256'],
      secret: { file: '/etc/curfew/hmac/key', kid: 'one' },
    };
    const values = { issuers: [foreign, hmac], injector: { allowSharedSecrets: true } };
    expect((await configOf(values)).foreignIssuers[1]).toMatchObject({ issuer: hmac.issuer });
  });

  it('excludes the relay: a log has one owner', async () => {
    const values = { issuers: [foreign], redis, identity, relay: { enabled: true } };
    expect(await refusal(values)).toContain('Give it the relay');
  });
});
