import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type Client } from './client.ts';
import { helm } from './helm.ts';
import { nodeImage } from './images.ts';
import { apply, deleteNamespaces, failure, get, kubectl, repository, restricted, until } from './kubectl.ts';
import { onlyPod, proxied, startRelease, stopRelease, urlHost } from './release.ts';
import { namespace } from './workloads.ts';

type Container = { name: string; image: string; imagePullPolicy: string; resources: { limits?: object } };
type Pod = {
  metadata: { labels: Record<string, string> };
  spec: { initContainers: Container[]; resources?: { requests: Record<string, string> } };
  status: { podIP: string };
};

let client: Client;

beforeAll(async () => {
  client = await startRelease();
  await apply(namespace('bounded', { 'curfew/inject': 'enabled' }));
});

afterAll(async () => {
  client?.close();
  await kubectl(
    'delete',
    'mutatingadmissionpolicies,mutatingadmissionpolicybindings',
    'pull-never',
    '--ignore-not-found',
  );
  await deleteNamespaces('bounded');
  await stopRelease();
});

const ask = (url: string): Promise<Answer> => client.request(url);
const named = (at: string, name: string): Promise<Pod> => get<Pod>('-n', at, 'pod', name);

/** A server on a port of its own choice, as a pod. */
const server = (at: {
  name: string;
  namespace: string;
  port: number;
  annotations?: object;
  spec?: object;
}): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: at.name, namespace: at.namespace, annotations: at.annotations ?? {} },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'web',
        image: nodeImage,
        command: [
          'node',
          '-e',
          `require('node:http').createServer((q, s) => s.end('served')).listen(${at.port})`,
        ],
        ports: [{ name: 'web', containerPort: at.port }],
        securityContext: restricted,
      },
    ],
    ...at.spec,
  },
});

const proxy = { 'curfew/capture': 'proxy' };
const ready = (at: string, name: string): Promise<string> =>
  kubectl('-n', at, 'wait', '--for=condition=Ready', `pod/${name}`, '--timeout=180s');

describe('proxy capture', () => {
  it('starts in the namespaces that the notes of the release name', async () => {
    const notes = await helm('get', 'notes', 'curfew', '-n', 'curfew');
    expect(notes).toContain('Such pods are refused except in: shop, strict.');
  });

  it('is refused in a labelled namespace that no policy covers', async () => {
    const pod = server({ name: 'uncovered', namespace: 'bounded', port: 8080, annotations: proxy });
    expect(await failure(apply(pod))).toContain('curfew: no_network_policy: ');
  });

  it("closes the application's own port also where it is in the range of Envoy's", async () => {
    await apply(server({ name: 'in-range', namespace: 'strict', port: 19_005, annotations: proxy }));
    await ready('strict', 'in-range');
    const { status } = await named('strict', 'in-range');
    const host = urlHost(status.podIP);
    await until('Envoy answers', async () => (await ask(`http://${host}:19003/`)).status === 401);
    expect(await ask(`http://${host}:19005/`)).toMatchObject({ status: 0 });
    await kubectl('-n', 'strict', 'delete', 'pod', 'in-range');
  });

  it.each([
    ['removed', ['label', 'pod', 'curfew/injected-']],
    ['changed', ['label', 'pod', '--overwrite', 'curfew/proxied-ports=8']],
    [
      'removed by way of the status',
      ['patch', 'pod', '--subresource=status', '-p', '{"metadata":{"labels":{"curfew/injected":null}}}'],
    ],
  ])(
    'keeps the labels that policies find a pod by from being %s',
    async (_how, [verb = '', kind = '', ...how]) => {
      const { metadata, status } = await onlyPod('strict', 'proxied');
      const said = await failure(kubectl('-n', 'strict', verb, kind, metadata.name, ...how));
      const { metadata: after } = await named('strict', metadata.name);
      expect(after.labels).toMatchObject({ 'curfew/injected': 'proxy', 'curfew/proxied-ports': '1' });
      expect(said).toContain('by the labels curfew/injected and curfew/proxied-ports');
      expect(await ask(`http://${urlHost(status.podIP ?? '')}:8080/etc`)).toMatchObject({ status: 0 });
    },
  );

  it('allows changes of other labels, and of the status of a pod', async () => {
    const { metadata } = await onlyPod('strict', 'proxied');
    await kubectl('-n', 'strict', 'label', 'pod', metadata.name, 'team=orders');
    expect((await named('strict', metadata.name)).metadata.labels['team']).toBe('orders');
  });

  it('is protected by what check pods finds in the cluster, until a policy opens the port', async () => {
    const check = (): string[] => {
      const args = ['check', 'pods', '--kubectl', '--exclude', 'curfew'];
      const { stdout, stderr } = spawnSync(join(repository, 'bin', 'curfew'), args, { encoding: 'utf8' });
      return `${stdout}${stderr}`
        .trim()
        .split('\n')
        .filter((line) => line.startsWith('strict/') || line.startsWith('all '));
    };
    expect(check()).toEqual([expect.stringMatching(/^all \d+ running pods/)]);
    const { metadata } = await onlyPod('strict', 'proxied');
    await apply({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'from-outside', namespace: 'strict' },
      spec: { podSelector: {}, ingress: [{ ports: [{ port: 8080 }] }] },
    });
    expect(check()).toEqual([
      `strict/${metadata.name} has proxy capture, but NetworkPolicy from-outside opens its own port 8080, which is then reachable without a token`,
    ]);
    await kubectl('-n', 'strict', 'delete', 'networkpolicy', 'from-outside');
    expect((await ask(proxied)).status).toBe(401);
  });
});

describe('a namespace with bounds of its own', () => {
  it('starts protected pods under a quota on limits, with what its LimitRange gives', async () => {
    const limits = { cpu: '300m', memory: '300Mi' };
    await apply(
      {
        apiVersion: 'v1',
        kind: 'LimitRange',
        metadata: { name: 'defaults', namespace: 'bounded' },
        spec: {
          limits: [{ type: 'Container', default: limits, defaultRequest: { cpu: '5m', memory: '16Mi' } }],
        },
      },
      {
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'quota', namespace: 'bounded' },
        spec: {
          hard: { 'limits.cpu': '6', 'limits.memory': '6Gi', 'requests.cpu': '6', 'requests.memory': '6Gi' },
        },
      },
    );
    await until('the quota counts', async () => {
      const quota = await get<{ status?: { hard?: object } }>('-n', 'bounded', 'resourcequota', 'quota');
      return quota.status?.hard !== undefined;
    });
    await apply(server({ name: 'counted', namespace: 'bounded', port: 8080 }));
    await ready('bounded', 'counted');
    const { spec, status } = await named('bounded', 'counted');
    expect(spec.initContainers.map(({ resources }) => resources.limits)).toEqual([
      { cpu: '300m', memory: '64Mi' },
      { cpu: '300m', memory: '256Mi' },
      { cpu: '300m', memory: '256Mi' },
    ]);
    expect((await ask(`http://${urlHost(status.podIP)}:8080/`)).status).toBe(401);
    await kubectl('-n', 'bounded', 'delete', 'pod/counted', 'resourcequota/quota', 'limitrange/defaults');
  });

  it('gives a pod with resources of its own room for the sidecars', async () => {
    const resources = { requests: { cpu: '20m', memory: '48Mi' }, limits: { cpu: '250m', memory: '96Mi' } };
    await apply(server({ name: 'roomy', namespace: 'bounded', port: 8080, spec: { resources } }));
    await ready('bounded', 'roomy');
    const { spec, status } = await named('bounded', 'roomy');
    expect(spec.resources).toEqual({
      requests: { cpu: '60m', memory: '192Mi' },
      limits: { cpu: '290m', memory: '608Mi' },
    });
    expect((await ask(`http://${urlHost(status.podIP)}:8080/`)).status).toBe(401);
    await kubectl('-n', 'bounded', 'delete', 'pod', 'roomy');
  });

  const ofOurs = async (name: string, member: 'imagePullPolicy' | 'image'): Promise<string[]> =>
    (await named('bounded', name)).spec.initContainers
      .filter((one) => one.name.startsWith('curfew-'))
      .map((one) => one[member]);

  it('keeps what a policy of the cluster puts on the sidecars', async () => {
    const [where, all] = ['has(object.spec.initContainers)', 'object.spec.initContainers'];
    const expression = `${where} ? ${all}.map(c, JSONPatch{op: "add", path: "/spec/initContainers/" + string(${all}.map(d, d.name).indexOf(c.name)) + "/imagePullPolicy", value: "Never"}) : []`;
    const admission = { apiVersion: 'admissionregistration.k8s.io/v1', metadata: { name: 'pull-never' } };
    await apply(
      {
        ...admission,
        kind: 'MutatingAdmissionPolicy',
        spec: {
          failurePolicy: 'Fail',
          reinvocationPolicy: 'IfNeeded',
          matchConstraints: {
            resourceRules: [
              { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] },
            ],
          },
          mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression } }],
        },
      },
      {
        ...admission,
        kind: 'MutatingAdmissionPolicyBinding',
        spec: {
          policyName: 'pull-never',
          matchResources: {
            namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'bounded' } },
          },
        },
      },
    );
    let attempt = 0;
    const isInForce = async (): Promise<boolean> => {
      const name = `pulled-${(attempt += 1)}`;
      await apply(server({ name, namespace: 'bounded', port: 8080 }));
      const policies = await ofOurs(name, 'imagePullPolicy');
      await kubectl('-n', 'bounded', 'delete', 'pod', name);
      return policies.every((one) => one === 'Never') && policies.length === 3;
    };
    expect(await until('the policy is in force', isInForce)).toBe(true);
    await kubectl('delete', 'mutatingadmissionpolicies,mutatingadmissionpolicybindings', 'pull-never');
  });

  it('does not trust containers to which the author of a pod gave our names', async () => {
    const planted = [{ name: 'curfew-authorizer', image: 'hostile:1', restartPolicy: 'Always' }];
    await apply(
      server({ name: 'posing', namespace: 'bounded', port: 8080, spec: { initContainers: planted } }),
    );
    expect(await ofOurs('posing', 'image')).toEqual([
      'curfew-redirect:0.1.0',
      'curfew-authorizer:0.1.0',
      'envoyproxy/envoy:v1.40.0',
    ]);
    await kubectl('-n', 'bounded', 'delete', 'pod', 'posing');
  });
});
