import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { stringify } from 'yaml';
import { injectorSchema } from '../../src/config/injector.ts';
import { injectionOptions } from '../../src/programs/injector.ts';
import type { Container, Pod } from '../../src/injection/pod.ts';
import { decide, fixtureFile, injected, injectorSettings, options, podFixture, podWith } from './fixtures.ts';

const names = (containers: readonly Container[] | undefined): string[] =>
  (containers ?? []).map(({ name }) => name);

const container = (pod: Pod, name: string): Container => {
  const found = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].find((one) => one.name === name);
  if (found === undefined) throw new Error(`no container ${name}`);
  return found;
};

/**
 * A pod as text, with what is JSON inside of it opened up, and Envoy's configuration, which has its own
 * tests, cut short.
 */
function readable(pod: Pod): string {
  const open = (text: string): unknown => {
    if (text.startsWith('{"admin"')) return outline(JSON.parse(text) as EnvoyOutline);
    return text.startsWith('{"') ? JSON.parse(text) : text;
  };
  return stringify(
    JSON.parse(JSON.stringify(pod), (_, value: unknown) => (typeof value === 'string' ? open(value) : value)),
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
}

type Named = { name: string };
type EnvoyOutline = { static_resources: { listeners: Named[]; clusters: Named[] } };

const outline = ({ static_resources: { listeners, clusters } }: EnvoyOutline): unknown => ({
  listeners: listeners.map(({ name }) => name),
  clusters: clusters.map(({ name }) => name),
});

const fixtures = ['file-server', 'grpc-with-everything', 'proxied'];

describe('an injected pod', () => {
  it.each(fixtures)('is what is written down for %s', async (name) => {
    await expect(readable(injected(podFixture(`${name}.yaml`)))).toMatchFileSnapshot(
      fixtureFile(`${name}.injected.snap`),
    );
  });

  it.each(fixtures)('is not changed by a second admission of %s', (name) => {
    const given = options();
    expect(decide(injected(podFixture(`${name}.yaml`), given), given)).toMatchObject({
      kind: 'injected',
      patch: [],
    });
  });

  it('starts the redirect, the authorizer, Envoy, then its own init containers', () => {
    const pod = injected(podFixture('grpc-with-everything.yaml'));
    expect(names(pod.spec.initContainers)).toEqual([
      'curfew-redirect',
      'curfew-authorizer',
      'curfew-envoy',
      'migrate',
      'cache',
    ]);
    expect(container(pod, 'curfew-redirect').restartPolicy).toBeUndefined();
    expect(container(pod, 'curfew-authorizer').restartPolicy).toBe('Always');
    expect(container(pod, 'curfew-envoy').restartPolicy).toBe('Always');
  });

  it('has the socket in the two sidecars and nowhere else', () => {
    const pod = injected(podFixture('grpc-with-everything.yaml'));
    const mounting = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].filter((one) =>
      (one.volumeMounts ?? []).some(({ name }) => name === 'curfew-socket'),
    );
    expect(names(mounting)).toEqual(['curfew-authorizer', 'curfew-envoy']);
  });

  it('fits Pod Security restricted with proxy capture', () => {
    const pod = injected(podFixture('proxied.yaml'));
    expect(names(pod.spec.initContainers)).toEqual(['curfew-authorizer', 'curfew-envoy']);
    for (const one of pod.spec.initContainers ?? []) {
      expect(one['securityContext']).toMatchObject({
        runAsNonRoot: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'RuntimeDefault' },
      });
    }
    expect(pod.spec['securityContext']).toEqual({ runAsNonRoot: true, runAsUser: 1000, fsGroup: 2000 });
  });

  it('gives a named port to Envoy with proxy capture, so that Services follow', () => {
    const pod = injected(podFixture('proxied.yaml'));
    expect(container(pod, 'web').ports).toEqual([{ containerPort: 8080 }]);
    expect(container(pod, 'curfew-envoy').ports).toContainEqual({
      name: 'http',
      containerPort: 19_003,
      protocol: 'TCP',
      hostPort: 80,
    });
  });

  it('keeps its probes of open ports and of other hosts', () => {
    const before = podFixture('grpc-with-everything.yaml');
    const pod = injected(before);
    expect(container(pod, 'shop').readinessProbe).toEqual(container(before, 'shop').readinessProbe);
    expect(container(pod, 'shop').startupProbe).toEqual(container(before, 'shop').startupProbe);
    expect(container(pod, 'shop').lifecycle?.postStart).toEqual(
      container(before, 'shop').lifecycle?.postStart,
    );
    expect(container(pod, 'api').livenessProbe).toEqual(container(before, 'api').livenessProbe);
  });

  it('has an unguessable path for each probe', () => {
    const real = injectionOptions(v.parse(injectorSchema, injectorSettings));
    const pod = injected(podFixture('file-server.yaml'), real);
    const { readinessProbe, livenessProbe } = container(pod, 'files');
    const paths = [readinessProbe, livenessProbe].map((probe) => probe?.httpGet?.path);
    expect(paths).toEqual([
      expect.stringMatching(/^\/[0-9a-f]{32}$/),
      expect.stringMatching(/^\/[0-9a-f]{32}$/),
    ]);
    expect(new Set(paths).size).toBe(2);
  });

  it('is refused at the start where Envoy could not match a header that tokens come in', () => {
    const config = v.parse(injectorSchema, injectorSettings);
    const token = { sources: [{ header: 'a-'.repeat(40) }] };
    const tooLong = { ...config, authorizer: { ...(config.authorizer as object), token } };
    expect(() => injectionOptions(tooLong)).toThrow(/too long/);
  });

  it('takes other ports of its own where the pod uses ours', () => {
    const pod = injected(
      podWith([{ containerPort: 8080 }, { containerPort: 19_000 }], { 'curfew/ports': '8080' }),
    );
    const ports = container(pod, 'curfew-envoy').ports?.map(({ containerPort }) => containerPort);
    expect(ports).not.toContain(19_000);
  });

  it('heals what looks like an injection but is none', () => {
    const honest = injected(podWith([{ containerPort: 8080 }]));
    const pretender = podWith([{ containerPort: 8080 }], { 'curfew/authorizer-config': '{"mode":"shadow"}' });
    const planted: Pod = {
      ...pretender,
      spec: {
        ...pretender.spec,
        initContainers: [
          { name: 'curfew-authorizer', image: 'mine:1', restartPolicy: 'Always' },
          { name: 'curfew-envoy', image: 'mine:1', restartPolicy: 'Always' },
        ],
        volumes: [{ name: 'curfew-socket', hostPath: { path: '/tmp' } }],
      },
    };
    expect(injected(planted)).toEqual(honest);
  });

  it('rewrites a container that another webhook added after the first admission', () => {
    const given = options();
    const once = injected(podWith([{ containerPort: 8080 }]), given);
    const added = {
      name: 'added',
      ports: [{ containerPort: 7000 }],
      readinessProbe: { httpGet: { path: '/up', port: 7000 } },
    };
    const twice = injected(
      { ...once, spec: { ...once.spec, containers: [...once.spec.containers, added] } },
      given,
    );
    expect(container(twice, 'added').readinessProbe?.httpGet?.port).toBe(19_000);
    expect(names(twice.spec.initContainers)).toEqual([
      'curfew-redirect',
      'curfew-authorizer',
      'curfew-envoy',
    ]);
  });

  it('is the same after one admission as after two, whatever its ports and probes', () => {
    const port = fc.integer({ min: 1, max: 65_535 });
    const action = fc.oneof(
      fc.record({ httpGet: fc.record({ path: fc.webPath(), port }) }),
      fc.record({ tcpSocket: fc.record({ port }) }),
      fc.record({ grpc: fc.record({ port }) }),
    );
    const pods = fc.record({
      ports: fc.uniqueArray(fc.record({ containerPort: port, name: fc.constantFrom('http', 'web', 'api') }), {
        minLength: 1,
        maxLength: 4,
        selector: ({ containerPort }) => containerPort,
      }),
      capture: fc.constantFrom('redirect', 'proxy'),
      readinessProbe: fc.option(action, { nil: undefined }),
      livenessProbe: fc.option(action, { nil: undefined }),
    });
    fc.assert(
      fc.property(pods, ({ ports, capture, ...probes }) => {
        const given = options();
        const pod = podWith(ports, { 'curfew/capture': capture }, JSON.parse(JSON.stringify(probes)));
        const once = decide(pod, given);
        fc.pre(once.kind === 'injected');
        expect(decide(injected(pod, given), given)).toMatchObject({ kind: 'injected', patch: [] });
      }),
      { numRuns: 200 },
    );
  });
});
