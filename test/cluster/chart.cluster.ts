import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { authorizerSchema } from '../../src/config/authorizer.ts';
import { identitySchema } from '../../src/config/identity.ts';
import { injectorSchema } from '../../src/config/injector.ts';
import { relaySchema } from '../../src/config/relay.ts';
import { chart, helm, refusal, render, valuesFile, type Manifest } from './helm.ts';
import { identity, issuers, minimal, permutations, redis } from './permutations.ts';

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

  it('writes configurations that the programs accept', async () => {
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
type JobSpec = { template: { spec: { containers: [{ args: string[] }] } } };

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

  it('leaves out system namespaces and its own', async () => {
    const webhook = named(await render(minimal), 'MutatingWebhookConfiguration', 'curfew-injector-curfew');
    expect(webhook.webhooks).toHaveLength(4);
    for (const one of webhook.webhooks ?? []) {
      expect(one).toMatchObject({
        failurePolicy: 'Fail',
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
    expect(operators).toEqual([['In'], ['In'], ['NotIn'], ['NotIn']]);
  });

  it('trusts the containers with its names only after it has seen the pod in the same admission', async () => {
    const webhook = named(await render(minimal), 'MutatingWebhookConfiguration', 'curfew-injector-curfew');
    const parts = (webhook.webhooks ?? []).map((one) => {
      const { name, clientConfig, reinvocationPolicy, ...rest } = one as unknown as {
        name: string;
        clientConfig: { service: { path: string } };
        reinvocationPolicy: string;
      };
      return { call: [name.split('.')[1], clientConfig.service.path, reinvocationPolicy], rest };
    });
    const inject = ['inject', '/inject', 'Never'];
    const reinvoke = ['reinvoke', '/reinvoke', 'IfNeeded'];
    expect(parts.map(({ call }) => call)).toEqual([inject, reinvoke, inject, reinvoke]);
    expect(parts[1]?.rest).toEqual(parts[0]?.rest);
    expect(parts[3]?.rest).toEqual(parts[2]?.rest);
  });

  it("puts the readers' password into the labelled namespaces, and the owner's only into its own", async () => {
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

  it('tells the injector in which namespaces policies close the ports of proxied pods', async () => {
    type Config = { networkPolicy: { namespaces: string[]; managedExternally: boolean } };
    const toldWith = async (networkPolicy: object): Promise<Config['networkPolicy']> => {
      const manifests = await render({ ...minimal, injector: { namespaces: ['shop'] }, networkPolicy });
      const text = named(manifests, 'ConfigMap', 'curfew-injector').data?.['injector.yaml'] ?? '';
      return (parse(text) as Config).networkPolicy;
    };
    expect(await toldWith({})).toEqual({ namespaces: ['shop'], managedExternally: false });
    expect(await toldWith({ enabled: false })).toEqual({ namespaces: [], managedExternally: false });
    expect(await toldWith({ managedExternally: true })).toMatchObject({ managedExternally: true });
  });

  it("opens of a proxied pod Envoy's ports, and as many as the pod has", async () => {
    type Spec = {
      podSelector: { matchExpressions?: { values: string[] }[] };
      ingress: { ports: { port: number }[] }[];
    };
    const manifests = await render({ ...minimal, injector: { namespaces: ['shop'] } });
    const opened = (count: string): number[] =>
      manifests
        .filter(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.namespace === 'shop')
        .map(({ spec }) => spec as unknown as Spec)
        .filter(({ podSelector: { matchExpressions = [] } }) =>
          matchExpressions.every(({ values }) => values.includes(count)),
        )
        .flatMap(({ ingress }) => ingress.flatMap(({ ports }) => ports.map(({ port }) => port)));
    expect(opened('1')).toEqual([19_000, 19_001, 19_003]);
    expect(opened('3')).toEqual([19_000, 19_001, 19_003, 19_004, 19_005]);
    expect(opened('8')).toEqual([19_000, 19_001, ...Array.from({ length: 8 }, (_, at) => 19_003 + at)]);
  });

  it('lets nobody change the labels that policies find pods by, where Kubernetes can', async () => {
    const kinds = async (version: string): Promise<string[]> =>
      (await render(minimal, '--kube-version', version)).map(({ kind }) => kind);
    expect(await kinds('1.30.0')).toContain('ValidatingAdmissionPolicyBinding');
    expect(await kinds('1.29.4')).not.toContain('ValidatingAdmissionPolicy');
  });

  it('adds its own identity as an issuer, with an address inside the cluster', async () => {
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
    const irrevocable = [{ ...issuers[0], revocation: 'none' }];
    expect(await jobs(minimal)).toBe(1);
    expect(await jobs({ ...minimal, identity })).toBe(0);
    expect(await jobs({ ...minimal, relay: { enabled: true } })).toBe(0);
    expect(await jobs({ ...minimal, revocation: { createLog: false } })).toBe(0);
    expect(await jobs({ ...minimal, issuers: irrevocable })).toBe(0);
  });

  it('lets the log remember for as long as the longest token lives', async () => {
    const long = { issuer: 'https://second.example', audiences: ['orders'], maxTokenLifetime: '2h' };
    const manifests = await render({ redis, issuers: [...issuers, long] });
    const { args } = (named(manifests, 'Job', 'curfew-create-log').spec as unknown as JobSpec).template.spec
      .containers[0];
    expect(args).toEqual(expect.arrayContaining(['--max-token-lifetime', '7200s', '--tolerance', '5s']));
    expect(args.filter((_, at) => args[at - 1] === '--issuer')).toEqual([
      'https://idp.example',
      'https://second.example',
    ]);
  });

  it('makes the log with a configuration that the command takes', async () => {
    const manifests = await render(permutations['a Redis with users'] ?? {});
    const text = named(manifests, 'ConfigMap', 'curfew-create-log').data?.['authorizer.yaml'] ?? '';
    const settings = v.safeParse(authorizerSchema, parse(text));
    expect(settings.issues ?? []).toEqual([]);
    expect(settings.output).toMatchObject({ revocation: { redis: { username: 'owner' } } });
  });

  it.each([
    ['no issuer', { redis }, 'issuers: name at least one'],
    ['no Redis', { issuers }, 'redis.url: is required'],
    [
      'credentials in the address of Redis',
      { issuers, redis: { url: 'redis://u:p@redis:6379' } },
      'must not contain credentials',
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
    [
      'proxy capture without policies',
      { ...minimal, injector: { capture: 'proxy', namespaces: ['shop'] }, networkPolicy: { enabled: false } },
      'networkPolicy.enabled: injector.capture=proxy',
    ],
    [
      'proxy capture and no namespace to have the policy',
      { ...minimal, injector: { capture: 'proxy' } },
      'injector.namespaces: name the namespaces',
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
