// The API server reads it, so it is a real certificate; its key is nowhere.
const authority = `-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUVX5LE+bHp3AAwSNLvx3y2cRM4z4wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJYXV0aG9yaXR5MCAXDTI2MTEyNTAwMTYxMVoYDzIxMjYxMTAx
MDAxNjExWjAUMRIwEAYDVQQDDAlhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQbk+ouGabnEtkQ2UNay/EF0Pm37b4wOzR/ZJmj3iAaAA4IxfjZcBBN
z6C/PnrDi3g2/GSfaXlyp0JfftNMWIdto1MwUTAdBgNVHQ4EFgQUSoVPyVw03U0V
AWM+IwCwQ8HemhkwHwYDVR0jBBgwFoAUSoVPyVw03U0VAWM+IwCwQ8HemhkwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAxmrBNf/ruA7lezfm4CR7
bVb1MMsJT1AVlvGDaYWYmPUCIG6y3Uwgu3JXn1g40VrGofGmBKOr8zQEbfKfacgN
Hh6z
-----END CERTIFICATE-----
`;

export const issuers = [{ issuer: 'https://idp.example', audiences: ['orders'] }];
export const redis = { url: 'redis://redis:6379' };
export const minimal = { issuers, redis };
export const identity = {
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
export const permutations: Record<string, Record<string, unknown>> = {
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
  'identity with passkeys of a domain above': {
    redis,
    injector: { enabled: false },
    identity: {
      ...identity,
      issuer: 'https://id.login.example',
      accounts: { passkeys: { enabled: true, rpId: 'login.example' } },
      limits: { passkeysPerAccount: 3, sessionsPerAccount: 5 },
    },
  },
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
      httpRoute: { enabled: true, parentRefs: [{ name: 'gateway' }], hostnames: ['events.example'] },
    },
  },
  'relays on PostgreSQL': {
    ...minimal,
    relay: {
      enabled: true,
      autoscaling: { enabled: true },
      database: { postgres: { existingSecret: 'db' } },
    },
  },
  'cert-manager': { ...minimal, injector: { certManager: { enabled: true } } },
  'a certificate of its own': {
    ...minimal,
    injector: { tls: { existingSecret: 'tls', caBundle: authority } },
  },
  'proxy capture in its namespaces': {
    ...minimal,
    injector: { capture: 'proxy', namespaces: ['shop', 'billing'] },
  },
  'everything to look at': {
    ...minimal,
    metrics: {
      serviceMonitor: { enabled: true, labels: { release: 'prom' } },
      podMonitor: { enabled: true },
    },
    dashboards: { enabled: true },
    alerts: { enabled: true },
  },
  'a log made by somebody else': {
    issuers,
    redis: { ...redis, password: 'p' },
    revocation: { createLog: false },
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
    networkPolicy: { enabled: false, managedExternally: true },
  },
};
