import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { injectorSchema } from '../../src/config/injector.ts';
import { decideInjection } from '../../src/injection/injection.ts';
import type { Pod } from '../../src/injection/pod.ts';
import { findUnprotectedPods } from '../../src/injection/coverage.ts';
import { decide, injected, injectorSettings, options, podWith } from './fixtures.ts';

const proxy = { 'curfew/capture': 'proxy' };
const http = [{ name: 'web', containerPort: 5000 }];
const covered = (networkPolicy: object) => options({ networkPolicy });
const shop = covered({ namespaces: ['shop'] });

const labelsOf = ({ metadata }: Pod) => metadata.labels ?? {};

describe('a pod with proxy capture', () => {
  it('is started where a policy closes its own ports', () => {
    expect(decide(podWith(http, proxy), shop, 'shop').kind).toBe('injected');
  });

  it.each([
    ['another namespace than those with the policy', { namespaces: ['billing'] }],
    ['no namespace with the policy', {}],
  ])('is refused with %s', (_what, networkPolicy) => {
    expect(decide(podWith(http, proxy), covered(networkPolicy), 'shop')).toMatchObject({
      reason: 'no_network_policy',
      message: expect.stringMatching(/namespace shop .*injector\.namespaces.*managedExternally/),
    });
  });

  it('is refused when it is asked about again, too', () => {
    const pod = injected(podWith(http, proxy), shop);
    const admission = { uid: 'u', namespace: 'elsewhere', pod };
    expect(decideInjection(admission, shop, 'again')).toMatchObject({ reason: 'no_network_policy' });
  });

  it('is refused where proxy is only the default', () => {
    const given = options({ capture: 'proxy', networkPolicy: { namespaces: ['billing'] } });
    expect(decide(podWith(http), given, 'shop')).toMatchObject({ reason: 'no_network_policy' });
    expect(decide(podWith(http, { 'curfew/capture': 'redirect' }), given, 'shop').kind).toBe('injected');
  });

  it('is started anywhere when the operator answers for the policies', () => {
    expect(decide(podWith(http, proxy), covered({ managedExternally: true }), 'shop').kind).toBe('injected');
  });

  it('says by a label how many ports the policies are to open, which nobody else can set', () => {
    const two = podWith([...http, { name: 'admin', containerPort: 5001 }], proxy);
    const posing = { ...two, metadata: { ...two.metadata, labels: { 'curfew/proxied-ports': '8' } } };
    expect(labelsOf(injected(posing, shop))).toEqual({
      'curfew/injected': 'proxy',
      'curfew/proxied-ports': '2',
    });
    const redirected = { ...posing, metadata: { labels: posing.metadata.labels } };
    expect(labelsOf(injected(redirected, shop))).toEqual({ 'curfew/injected': 'redirect' });
  });

  const envoyPorts = (pod: Pod): number[] =>
    [...(pod.spec.initContainers ?? [])].flatMap(({ ports = [] }) => ports.map((port) => port.containerPort));

  it('has its own port anywhere, also in the range of Envoy, whose ports stay those that the policies open', () => {
    const pod = podWith([{ name: 'web', containerPort: 19_006 }], proxy);
    expect(envoyPorts(injected(pod, shop)).toSorted((a, b) => a - b)).toEqual([19_000, 19_001, 19_003]);
  });

  it.each([
    ['of the probes', 19_000],
    ['of the metrics', 19_001],
    ['of Envoy for its first port', 19_003],
  ])('is refused when it wants the port %s itself', (_what, containerPort) => {
    expect(decide(podWith([{ name: 'web', containerPort }], proxy), shop)).toMatchObject({
      reason: 'reserved_port',
      message: expect.stringContaining(String(containerPort)),
    });
  });

  it('is refused when it leaves a port open that is one of them', () => {
    const pod = podWith([...http, { name: 'raw', containerPort: 19_003 }], {
      ...proxy,
      'curfew/open-ports': 'raw',
    });
    expect(decide(pod, shop)).toMatchObject({ reason: 'reserved_port' });
  });
});

describe("the injector's configuration", () => {
  const problems = (settings: object): string[] =>
    (
      v.safeParse(injectorSchema, { ...injectorSettings, networkPolicy: undefined, ...settings }).issues ?? []
    ).map(({ message }) => message);

  it('does not start with proxy capture for every pod and no namespace to start one in', () => {
    expect(problems({ capture: 'proxy' })).toEqual([expect.stringContaining('every pod would be refused')]);
    expect(problems({ capture: 'proxy', networkPolicy: { namespaces: ['shop'] } })).toEqual([]);
    expect(problems({ capture: 'proxy', networkPolicy: { managedExternally: true } })).toEqual([]);
  });
});

describe('a running pod with proxy capture', () => {
  const running = (pod: Pod, labels = pod.metadata.labels): object => ({
    kind: 'Pod',
    metadata: { ...pod.metadata, name: 'web', namespace: 'shop', labels },
    spec: pod.spec,
    status: { phase: 'Running' },
  });
  const policy = (name: string, spec: object, namespace = 'shop'): object => ({
    kind: 'NetworkPolicy',
    metadata: { name, namespace },
    spec,
  });
  const isProxied = {
    podSelector: { matchLabels: { 'curfew/injected': 'proxy' } },
    policyTypes: ['Ingress'],
  };
  const open = (...ports: object[]) => ({ ...isProxied, ingress: [{ ports }] });
  const closing = policy('curfew-proxied-pods', open({ port: 19_000 }, { port: 19_001 }, { port: 19_003 }));
  const pod = injected(
    podWith([...http, { name: 'stats', containerPort: 5100 }], { ...proxy, 'curfew/open-ports': 'stats' }),
    shop,
  );
  const namespace = { kind: 'Namespace', metadata: { name: 'shop', labels: { 'curfew/inject': 'enabled' } } };
  const rules = { excludeNamespaces: new Set<string>(), allowOptOut: true, networkPolicyElsewhere: false };
  const web = { namespace: 'shop', pod: 'web' };
  const find = (items: object[], given = rules) => {
    const found = findUnprotectedPods({ items: [namespace, ...items] }, given);
    if (found.kind !== 'coverage') throw new Error(found.message);
    return found.unprotected;
  };

  it('is protected by a policy that opens only ports of Envoy', () => {
    expect(find([running(pod), closing])).toEqual([]);
  });

  it.each([
    ['that none selects', []],
    ['whose namespace has none', [policy('curfew-proxied-pods', open(), 'billing')]],
    ['that only one for egress selects', [policy('out', { podSelector: {}, policyTypes: ['Egress'] })]],
    [
      'of other labels',
      [
        policy('a', {
          podSelector: {
            matchExpressions: [{ key: 'curfew/injected', operator: 'NotIn', values: ['proxy'] }],
          },
        }),
      ],
    ],
  ])('is not protected by a policy %s', (_what, policies) => {
    expect(find([running(pod), ...policies])).toEqual([{ ...web, reason: 'no_network_policy', port: 5000 }]);
  });

  it('is not protected without the label that the policy selects by', () => {
    expect(find([running(pod, {}), closing])).toEqual([{ ...web, reason: 'no_network_policy', port: 5000 }]);
  });

  it.each<[what: string, spec: object]>([
    ['everything', { podSelector: {}, ingress: [{}] }],
    ['its port', open({ port: 5000 })],
    ['its port in a range', open({ port: 4000, endPort: 6000 })],
    ['its port by protocol alone', open({ protocol: 'TCP' })],
    [
      'its port to some',
      { ...isProxied, ingress: [{ from: [{ podSelector: {} }], ports: [{ port: 5000 }] }] },
    ],
    [
      'what exists',
      { podSelector: { matchExpressions: [{ key: 'curfew/injected', operator: 'Exists' }] }, ingress: [{}] },
    ],
    [
      'what is not there',
      { podSelector: { matchExpressions: [{ key: 'other', operator: 'DoesNotExist' }] }, ingress: [{}] },
    ],
    [
      'what is one of some',
      {
        podSelector: { matchExpressions: [{ key: 'curfew/injected', operator: 'In', values: ['proxy'] }] },
        ingress: [{}],
      },
    ],
  ])('is not protected beside a policy that opens %s', (_what, spec) => {
    expect(find([running(pod), closing, policy('mine', spec)])).toEqual([
      { ...web, reason: 'port_open', policy: 'mine', port: 5000 },
    ]);
  });

  it.each([
    ['an open port', open({ port: 5100 }, { port: 'stats' })],
    ['another protocol', open({ port: 5000, protocol: 'UDP' })],
    ['ports of Envoy by name', open({ port: 'web' }, { port: 'curfew-probes' })],
    ['pods of another namespace', { podSelector: { matchLabels: { app: 'other' } }, ingress: [{}] }],
  ])('is protected beside a policy that opens %s', (_what, spec) => {
    expect(find([running(pod), closing, policy('mine', spec)])).toEqual([]);
  });

  it('is believed to be protected where the operator answers for that', () => {
    expect(find([running(pod)], { ...rules, networkPolicyElsewhere: true })).toEqual([]);
  });

  it('needs no policy with redirect capture', () => {
    expect(find([running(injected(podWith(http), shop))])).toEqual([]);
  });
});
