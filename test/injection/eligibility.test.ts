import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { podSchema, type Pod } from '../../src/injection/pod.ts';
import { refusalReasons } from '../../src/injection/refusal.ts';
import { decide, options, podWith } from './fixtures.ts';

const http = [{ name: 'http', containerPort: 8080 }];

const specWith = (spec: Record<string, unknown>, container: Record<string, unknown> = {}): Pod =>
  v.parse(podSchema, {
    metadata: { name: 'web' },
    spec: { containers: [{ name: 'web', image: 'web:1', ports: http, ...container }], ...spec },
  });

const reasonOf = (pod: Pod): string => {
  const outcome = decide(pod);
  return outcome.kind === 'injected' ? 'injected' : outcome.reason;
};

const refused: readonly (readonly [reason: string, why: string, pod: Pod])[] = [
  ['host_network', "on its node's network", specWith({ hostNetwork: true })],
  ['windows', 'by os', specWith({ os: { name: 'windows' } })],
  ['windows', 'by node selector', specWith({ nodeSelector: { 'kubernetes.io/os': 'windows' } })],
  [
    'mesh_sidecar_present',
    "with Istio's sidecar",
    specWith({
      initContainers: [
        { name: 'istio-proxy', image: 'docker.io/istio/proxyv2:1.29.0', restartPolicy: 'Always' },
      ],
    }),
  ],
  [
    'mesh_sidecar_present',
    "with Linkerd's proxy under another name",
    specWith({ initContainers: [{ name: 'proxy', image: 'cr.l5d.io/linkerd/proxy-init:v2.4' }] }),
  ],
  ['no_http_port', 'that declares no port', podWith([])],
  ['no_http_port', 'whose only port is UDP', podWith([{ containerPort: 53, protocol: 'UDP' }])],
  ['no_http_port', 'whose every port is open', podWith(http, { 'curfew/open-ports': 'http' })],
  ['not_plain_http', 'with a port called https', podWith([{ name: 'https', containerPort: 8443 }])],
  ['not_plain_http', 'with a nameless port 443', podWith([{ containerPort: 443 }])],
  ['not_plain_http', 'with a database port', podWith([...http, { name: 'postgres', containerPort: 5432 }])],
  [
    'not_plain_http',
    'whose port is probed by HTTPS, even if it is named in the annotation',
    podWith(
      http,
      { 'curfew/ports': 'http' },
      { readinessProbe: { httpGet: { port: 'http', scheme: 'HTTPS' } } },
    ),
  ],
  ['not_plain_http', 'that wants UDP authenticated', podWith(http, { 'curfew/ports': '53/udp' })],
  [
    'reserved_port',
    'with proxy capture and a port of Envoy',
    podWith([{ name: 'http', containerPort: 19_003 }], { 'curfew/capture': 'proxy' }),
  ],
  [
    'unnamed_target_port',
    'with proxy capture and a nameless port',
    podWith([{ containerPort: 8080 }], { 'curfew/capture': 'proxy' }),
  ],
  [
    'unnamed_target_port',
    'with proxy capture of a port that is not declared',
    podWith(http, { 'curfew/capture': 'proxy', 'curfew/ports': '9999' }),
  ],
  ['unknown_port', 'that names a port it has not', podWith(http, { 'curfew/ports': 'web' })],
  ['unknown_port', 'that opens a port it has not', podWith(http, { 'curfew/open-ports': 'metrics' })],
  ['unknown_port', 'with an impossible number', podWith(http, { 'curfew/ports': '70000' })],
  [
    'too_many_ports',
    'with more ports than Envoy may take',
    podWith(Array.from({ length: 9 }, (_, index) => ({ containerPort: 8000 + index }))),
  ],
  [
    'too_many_ports',
    'that uses the range itself',
    podWith(
      Array.from({ length: 11 }, (_, index) => ({ containerPort: 19_000 + index })),
      { 'curfew/ports': '8080' },
    ),
  ],
  ['reserved_name', 'with a container of our name', specWith({}, { name: 'curfew-envoy' })],
  [
    'reserved_name',
    'that mounts the socket between the sidecars',
    specWith({}, { volumeMounts: [{ name: 'curfew-socket', mountPath: '/x' }] }),
  ],
  [
    'reserved_name',
    "that mounts the authorizer's secret",
    specWith({}, { volumeMounts: [{ name: 'curfew-secret-curfew-redis', mountPath: '/x' }] }),
  ],
  ['invalid_annotation', 'with a misspelt annotation', podWith(http, { 'curfew/port': 'http' })],
  ['invalid_annotation', 'with an unknown capture', podWith(http, { 'curfew/capture': 'cni' })],
  ['invalid_annotation', 'with too short an exposure', podWith(http, { 'curfew/max-exposure': '5s' })],
  [
    'invalid_annotation',
    'with a duration without a unit',
    podWith(http, { 'curfew/max-stream-duration': '300' }),
  ],
  [
    'invalid_annotation',
    'with a public path that opens everything',
    podWith(http, { 'curfew/public-paths': '/*' }),
  ],
  [
    'invalid_annotation',
    'with a public path that is none',
    podWith(http, { 'curfew/public-paths': 'health' }),
  ],
  ['invalid_annotation', 'with an escaped public path', podWith(http, { 'curfew/public-paths': '/a%2fb' })],
  [
    'invalid_annotation',
    "with more public paths than Envoy's configuration can hold",
    podWith(
      Array.from({ length: 8 }, (_, index) => ({ containerPort: 8000 + index })),
      { 'curfew/public-paths': Array.from({ length: 64 }, (_, index) => `/public/${index}/*`).join(' ') },
    ),
  ],
  [
    'invalid_annotation',
    'with resources that are no JSON',
    podWith(http, { 'curfew/resources': 'memory: 1Gi' }),
  ],
  [
    'invalid_annotation',
    'with an unknown resource',
    podWith(http, { 'curfew/resources': '{"envoy":{"limits":{"disk":"1"}}}' }),
  ],
  [
    'invalid_annotation',
    'with a port both protected and open',
    podWith(http, { 'curfew/ports': 'http', 'curfew/open-ports': '8080' }),
  ],
  ['invalid_annotation', 'with an empty audience', podWith(http, { 'curfew/audience': '' })],
  ['invalid_annotation', 'with a scope that cannot be one', podWith(http, { 'curfew/scopes': 'a"b' })],
  ['invalid_annotation', 'with a port that cannot be one', podWith(http, { 'curfew/ports': 'http:8080' })],
];

describe('the eligibility of a pod', () => {
  it.each(refused)('refuses as %s a pod %s', (reason, _why, pod) => {
    expect(reasonOf(pod)).toBe(reason);
  });

  it('has a case for every reason that is about a pod', () => {
    // The last is about its namespace; see proxied-pods.test.ts.
    const others = new Set<string>(['malformed_review', 'internal_error', 'no_network_policy']);
    const about = refusalReasons.filter((reason) => !others.has(reason));
    expect([...new Set(refused.map(([reason]) => reason))].toSorted()).toEqual(about.toSorted());
  });

  it.each([
    ['a nameless port', podWith([{ containerPort: 3000 }])],
    [
      'a port called https that the annotation vouches for',
      podWith([{ name: 'https', containerPort: 8443 }], { 'curfew/ports': 'https' }),
    ],
    ['an undeclared port that the annotation names', podWith([], { 'curfew/ports': '8080' })],
    [
      'a database port that is open',
      podWith([...http, { name: 'postgres', containerPort: 5432 }], { 'curfew/open-ports': 'postgres' }),
    ],
    ['annotations of others', podWith(http, { 'prometheus.io/port': '9090' })],
  ])('accepts %s', (_what, pod) => {
    expect(reasonOf(pod)).toBe('injected');
  });

  it('says in every refusal what is wrong, and where', () => {
    expect(decide(podWith(http, { 'curfew/ports': 'web' }))).toMatchObject({
      message: 'curfew/ports names web, which no container declares (declared: http)',
    });
  });

  it.each(['disabled', 'false'])('leaves a pod alone that is labelled curfew/inject: %s', (value) => {
    const pod = { ...podWith(http), metadata: { labels: { 'curfew/inject': value } } };
    expect(decide(pod)).toEqual({ kind: 'skipped', reason: 'opted_out' });
  });

  it('ignores that label where opting out is not allowed', () => {
    const pod = { ...podWith(http), metadata: { labels: { 'curfew/inject': 'disabled' } } };
    expect(decide(pod, options({ allowOptOut: false })).kind).toBe('injected');
  });

  it('leaves excluded namespaces alone', () => {
    expect(decide(podWith(http), options(), 'kube-system')).toEqual({
      kind: 'skipped',
      reason: 'excluded_namespace',
    });
  });
});
