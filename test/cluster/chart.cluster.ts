import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { identitySchema } from '../../src/config/identity.ts';
import { injectorSchema } from '../../src/config/injector.ts';
import { relaySchema } from '../../src/config/relay.ts';
import { chart, helm, refusal, render, valuesFile, type Manifest } from './helm.ts';

const issuers = [{ issuer: 'https://idp.example', audiences: ['orders'] }];
const redis = { url: 'redis://redis:6379' };
const minimal = { issuers, redis };
const identity = {
  enabled: true,
  issuer: 'https://id.example',
  clients: [
    {
      client_id: 'cli',
      token_endpoint_auth_method: 'none',
      grant_types: ['urn:curfew:grant-type:login', 'refresh_token'],
    },
  ],
  resources: { orders: { scopes: ['read'] } },
};
const postgres = { postgres: { url: 'postgres://curfew:pw@db/curfew' } };

/** Settings that people combine. */
const permutations: Record<string, Record<string, unknown>> = {
  minimal,
  'the bundled Redis': { issuers, redis: { bundled: { enabled: true } } },
  'no revocation': { issuers, revocation: { enabled: false } },
  'a Redis with users': {
    issuers,
    redis: {
      ...redis,
      username: 'reader',
      password: 'r',
      owner: { username: 'owner', password: 'o' },
      tls: { ca: 'PEM' },
    },
    injector: { namespaces: ['shop', 'billing'] },
  },
  'a Redis whose Secret exists': {
    issuers,
    redis: { url: 'rediss://redis:6380', existingSecret: 'mine' },
    identity,
  },
  sentinels: { issuers, redis: { sentinels: [{ host: 'a' }, { host: 'b', port: 26380 }], name: 'main' } },
  'identity alone': { identity, redis, injector: { enabled: false } },
  'identity and a foreign issuer': { ...minimal, identity },
  'identity with PostgreSQL': {
    redis: { ...redis, password: 'p' },
    injector: { namespaces: ['shop'] },
    identity: { ...identity, replicas: 3, database: postgres, keys: { encryptionKey: 'k' } },
  },
  'identity that scales': {
    redis,
    identity: {
      ...identity,
      database: { postgres: { existingSecret: 'db' } },
      autoscaling: { enabled: true },
      ingress: {
        enabled: true,
        host: 'id.example',
        className: 'nginx',
        tlsSecret: 'id-tls',
        annotations: { a: 'b' },
      },
      httpRoute: { enabled: true, parentRefs: [{ name: 'gateway' }], hostnames: ['id.example'] },
    },
  },
  'a relay': {
    issuers: [{ issuer: 'https://kc.example/realms/a', preset: 'keycloak', audiences: ['orders'] }],
    redis,
    relay: {
      enabled: true,
      receivers: [
        {
          kind: 'backchannel-logout',
          path: '/logout',
          issuer: 'https://kc.example/realms/a',
          audience: 'curfew',
        },
        {
          kind: 'webhook',
          path: '/hook',
          issuer: 'https://kc.example/realms/a',
          secrets: ['a-secret-of-the-hook-0123456789'],
        },
      ],
      ingress: { enabled: true, host: 'events.example' },
    },
  },
  'relays on PostgreSQL': {
    ...minimal,
    relay: { enabled: true, replicas: 2, database: { postgres: { existingSecret: 'db' } } },
  },
  'cert-manager': { ...minimal, injector: { certManager: { enabled: true } } },
  'a certificate of its own': { ...minimal, injector: { tls: { existingSecret: 'tls', caBundle: 'PEM' } } },
  'everything to look at': {
    ...minimal,
    metrics: {
      serviceMonitor: { enabled: true, labels: { release: 'prom' } },
      podMonitor: { enabled: true },
    },
    dashboards: { enabled: true },
    alerts: { enabled: true },
  },
  'a log made by a job': {
    issuers,
    redis: { ...redis, password: 'p' },
    revocation: { createLog: true },
    injector: { namespaces: ['shop'] },
  },
  "sidecars to one's taste": {
    ...minimal,
    image: { registry: 'registry.example/curfew/', tag: '2', pullSecrets: ['pull'] },
    injector: {
      capture: 'proxy',
      addressFamilies: 'ipv4',
      allowOptOut: false,
      excludeNamespaces: ['monitoring'],
      replicas: 1,
      authorizer: { token: { sources: [{ cookie: 'session' }] }, mode: 'shadow', denied: { detail: 'full' } },
      nodeSelector: { pool: 'system' },
      tolerations: [{ operator: 'Exists' }],
      affinity: { podAntiAffinity: {} },
      priorityClassName: 'system-cluster-critical',
    },
    networkPolicy: { enabled: false },
  },
};

const isNamed =
  (kind: string, name: string) =>
  (manifest: Manifest): boolean =>
    manifest.kind === kind && manifest.metadata.name === name;

const named = (manifests: readonly Manifest[], kind: string, name: string): Manifest => {
  const found = manifests.find(isNamed(kind, name));
  if (found === undefined) throw new Error(`no ${kind} ${name}`);
  return found;
};

describe.each(Object.entries(permutations))('the chart with %s', (_name, values) => {
  it('passes helm lint', async () => {
    expect(
      await helm('lint', '--strict', chart, '--kube-version', '1.31.0', '--values', valuesFile(values)),
    ).toContain('0 chart(s) failed');
  });

  it('writes configurations that the programs take', async () => {
    const manifests = await render(values);
    const injector = manifests.find(isNamed('ConfigMap', 'curfew-injector'))?.data?.['injector.yaml'];
    const own = manifests.find(isNamed('Secret', 'curfew-identity-config'))?.stringData?.['identity.yaml'];
    const relay = manifests.find(isNamed('Secret', 'curfew-relay-config'))?.stringData?.['relay.yaml'];
    const problems = [
      ...(relay === undefined ? [] : (v.safeParse(relaySchema, parse(relay)).issues ?? [])),
      ...(injector === undefined ? [] : (v.safeParse(injectorSchema, parse(injector)).issues ?? [])),
      ...(own === undefined ? [] : (v.safeParse(identitySchema, parse(own)).issues ?? [])),
    ];
    expect(problems).toEqual([]);
    expect(injector ?? own).toBeDefined();
  });

  it('runs nothing as root, nothing that may write, nothing with an account of the API server', async () => {
    const pods = (await render(values))
      .filter(({ kind }) => ['Deployment', 'Job'].includes(kind))
      .map(({ spec }) => (spec as unknown as { template: { spec: PodSpec } }).template.spec);
    expect(pods.length).toBeGreaterThan(0);
    for (const pod of pods) {
      expect(pod).toMatchObject({
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      });
      for (const container of pod.containers) {
        expect(container).toMatchObject({
          securityContext: {
            readOnlyRootFilesystem: true,
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
          },
          resources: { requests: expect.anything(), limits: expect.anything() },
        });
      }
    }
  });
});

type PodSpec = { containers: Record<string, unknown>[] };

describe('the chart', () => {
  it('installs by the shortest line', async () => {
    const flags = [
      'issuers[0].issuer=https://idp',
      'issuers[0].audiences[0]=orders',
      'redis.url=redis://r:6379',
    ];
    const manifests = await render({}, ...flags.flatMap((flag) => ['--set', flag]));
    expect(manifests.map(({ kind }) => kind)).toContain('MutatingWebhookConfiguration');
  });

  it('keeps its hands off system namespaces and its own', async () => {
    const webhook = named(await render(minimal), 'MutatingWebhookConfiguration', 'curfew-injector-curfew');
    expect(webhook.webhooks).toHaveLength(2);
    for (const one of webhook.webhooks ?? []) {
      expect(one).toMatchObject({
        failurePolicy: 'Fail',
        reinvocationPolicy: 'IfNeeded',
        sideEffects: 'None',
        timeoutSeconds: 5,
        namespaceSelector: {
          matchExpressions: expect.arrayContaining([
            {
              key: 'kubernetes.io/metadata.name',
              operator: 'NotIn',
              values: ['curfew', 'kube-node-lease', 'kube-system'],
            },
          ]),
        },
      });
    }
  });

  it('shows a pod the webhook once, whether it or its namespace is labelled', async () => {
    const webhook = named(await render(minimal), 'MutatingWebhookConfiguration', 'curfew-injector-curfew');
    const operators = (webhook.webhooks ?? []).map((one) =>
      (
        one as unknown as { namespaceSelector: { matchExpressions: { key: string; operator: string }[] } }
      ).namespaceSelector.matchExpressions
        .filter(({ key }) => key === 'curfew/inject')
        .map(({ operator }) => operator),
    );
    expect(operators).toEqual([['In'], ['NotIn']]);
  });

  it("puts the readers' password into the labelled namespaces and the owner's nowhere else than its own", async () => {
    const manifests = await render(permutations['a Redis with users'] ?? {});
    const secrets = manifests.filter(({ kind }) => kind === 'Secret');
    const holding = (password: string): string[] =>
      secrets
        .filter(({ stringData }) => stringData?.['password'] === password)
        .map(({ metadata }) => `${metadata.namespace ?? 'curfew'}/${metadata.name}`);
    expect(holding('r')).toEqual(['shop/curfew-redis', 'billing/curfew-redis']);
    expect(holding('o')).toEqual(['curfew/curfew-redis-owner']);
    expect(JSON.stringify(manifests.filter(({ kind }) => kind === 'ConfigMap'))).not.toMatch(/"r"|"o"/);
  });

  it('knows its own identity as an issuer, by a way inside the cluster', async () => {
    const manifests = await render({ redis, identity });
    const config = parse(named(manifests, 'ConfigMap', 'curfew-injector').data?.['injector.yaml'] ?? '') as {
      authorizer: { issuers: unknown[] };
    };
    expect(config.authorizer.issuers).toMatchObject([
      {
        issuer: 'https://id.example',
        audiences: ['orders'],
        jwks: { uri: 'http://curfew-identity.curfew.svc:8080/jwks', allowHttp: true },
      },
    ]);
  });

  it('makes the log by a job only where nobody owns it', async () => {
    const jobs = async (values: Record<string, unknown>): Promise<number> =>
      (await render(values)).filter(({ kind }) => kind === 'Job').length;
    const revocation = { createLog: true };
    expect(await jobs({ ...minimal, revocation })).toBe(1);
    expect(await jobs({ ...minimal, revocation, identity })).toBe(0);
    expect(await jobs(minimal)).toBe(0);
  });

  it.each([
    ['no issuer', { redis }, 'issuers: name at least one'],
    ['no Redis', { issuers }, 'redis.url: is needed'],
    [
      'credentials in the address of Redis',
      { issuers, redis: { url: 'redis://u:p@redis:6379' } },
      'must not hold credentials',
    ],
    ['a misspelt setting', { ...minimal, injector: { replica: 3 } }, 'replica'],
    ['a wrong type', { ...minimal, injector: { replicas: 'two' } }, 'replicas'],
    ['a duration without a unit', { ...minimal, revocation: { maxExposure: '30' } }, 'maxExposure'],
    ['an issuer without audiences', { redis, issuers: [{ issuer: 'https://idp' }] }, 'audiences'],
    [
      'a shared secret that nobody accepted',
      { redis, issuers: [{ ...issuers[0], algorithms: ['HS256'], secret: { file: '/x', kid: 'a' } }] },
      'allowSharedSecrets',
    ],
    [
      'two replicas on SQLite',
      { redis, identity: { ...identity, replicas: 2 } },
      'SQLite serves one replica',
    ],
    ['identity without clients', { redis, identity: { ...identity, clients: [] } }, 'identity.clients'],
    [
      'an issuer that ends in a slash',
      { redis, identity: { ...identity, issuer: 'https://id.example/' } },
      'issuer',
    ],
    [
      'a password and no namespace to put it',
      { issuers, redis: { ...redis, password: 'p' } },
      'injector.namespaces',
    ],
    [
      'a certificate without its authority',
      { ...minimal, injector: { tls: { existingSecret: 'tls' } } },
      'caBundle',
    ],
    ['two owners of one log', { ...minimal, identity, relay: { enabled: true } }, 'a log has one owner'],
    [
      'a relay without providers',
      { redis, injector: { enabled: false }, relay: { enabled: true } },
      'issuers: the relay',
    ],
  ])('refuses %s, and says so', async (_what, values, message) => {
    expect(await refusal(values)).toContain(message);
  });

  it('says all that is wrong at once', async () => {
    const said = await refusal({ identity: { enabled: true } });
    expect(said.match(/\n {2}- /g)?.length).toBeGreaterThan(3);
  });
});
