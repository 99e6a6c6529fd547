import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { decideInjection } from '../../src/injection/injection.ts';
import { podSchema, type Container, type Pod } from '../../src/injection/pod.ts';
import { applied, injected, options, podWith } from './fixtures.ts';

const given = options();
const http = [{ name: 'web', containerPort: 5000 }];

/** The pod after the API server asked for it again, because admission steps behind us changed it. */
function reinvoked(pod: Pod): Pod {
  const admission = { uid: 'uid-2', namespace: 'shop', pod };
  const outcome = decideInjection(admission, given, 'again');
  if (outcome.kind !== 'injected') throw new Error(`not injected: ${JSON.stringify(outcome)}`);
  return v.parse(podSchema, applied(pod, outcome.patch));
}

const named = (pod: Pod, name: string): Container => {
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const found = all.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no container ${name}`);
  return found;
};

/** What an admission step does that changes every init container. */
function stepOn(pod: Pod, change: (container: Container) => Partial<Container>): Pod {
  const changed = (container: Container): Container => ({ ...container, ...change(container) });
  return { ...pod, spec: { ...pod.spec, initContainers: (pod.spec.initContainers ?? []).map(changed) } };
}

const sidecars = ['curfew-redirect', 'curfew-authorizer', 'curfew-envoy'];

describe('a second look at a pod in one admission', () => {
  it.each<[what: string, member: string, value: unknown]>([
    ['limits of a LimitRange', 'resources', { limits: { cpu: '150m' }, requests: { cpu: '15m' } }],
    ['an image of a mirror', 'image', 'mirror.internal/hub/any:1'],
    ['a pull policy', 'imagePullPolicy', 'Always'],
    ['a place for the last message', 'terminationMessagePolicy', 'FallbackToLogsOnError'],
    [
      'a security profile',
      'securityContext',
      { runAsUser: 70_001, appArmorProfile: { type: 'RuntimeDefault' } },
    ],
    ['the API server\u2019s defaults', 'terminationMessagePath', '/dev/termination-log'],
  ])('keeps %s on every container of ours', (_what, member, value) => {
    const changed = stepOn(injected(podWith(http), given), () => ({ [member]: value }));
    const again = reinvoked(changed);
    for (const name of sidecars) expect(named(again, name)[member]).toEqual(value);
    expect(again).toEqual(changed);
  });

  it('keeps variables and mounts that were added, and brings back those of ours that are missing', () => {
    const ca = { name: 'NODE_EXTRA_CA_CERTS', value: '/ca/bundle.pem' };
    const mount = { name: 'corporate-ca', mountPath: '/ca' };
    const once = injected(podWith(http), given);
    const changed = stepOn(once, ({ name, env = [], volumeMounts = [] }) => ({
      env: name === 'curfew-envoy' ? [ca] : [...(env as object[]), ca],
      volumeMounts: [mount, ...volumeMounts.slice(1)],
    }));
    const again = reinvoked(changed);
    expect(named(again, 'curfew-authorizer')['env']).toEqual([
      ...(named(once, 'curfew-authorizer')['env'] as object[]),
      ca,
    ]);
    expect(named(again, 'curfew-envoy')['env']).toEqual([
      ca,
      ...(named(once, 'curfew-envoy')['env'] as object[]),
    ]);
    const mounts = named(again, 'curfew-authorizer').volumeMounts?.map(({ name }) => name);
    expect(mounts?.toSorted()).toEqual([
      'corporate-ca',
      'curfew-config',
      'curfew-secret-curfew-redis',
      'curfew-socket',
    ]);
  });

  it('follows what else changed: another container, its port and its probe', () => {
    const once = stepOn(injected(podWith(http), given), () => ({ imagePullPolicy: 'Always' }));
    const agent = v.parse(podSchema, {
      spec: {
        containers: [
          {
            name: 'agent',
            ports: [{ containerPort: 19_000 }, { name: 'ui', containerPort: 8200 }],
            livenessProbe: { httpGet: { path: '/v1/up', port: 'ui' } },
          },
        ],
      },
    }).spec.containers;
    const again = reinvoked({
      ...once,
      spec: { ...once.spec, containers: [...once.spec.containers, ...agent] },
    });
    expect(named(again, 'agent').livenessProbe?.httpGet?.port).toBe(19_001);
    expect(named(again, 'curfew-redirect')['args']).toEqual([
      expect.stringContaining('tcp dport 8200 redirect'),
    ]);
    expect(named(again, 'curfew-envoy').startupProbe?.httpGet?.port).toBe(19_001);
    expect(named(again, 'curfew-envoy')['imagePullPolicy']).toBe('Always');
  });

  it('keeps the times of a probe that a step changed, not what it asks', () => {
    const slow = { failureThreshold: 30, timeoutSeconds: 9, httpGet: { path: '/always', port: 5000 } };
    const once = injected(podWith(http), given);
    const changed = stepOn(once, ({ name }) => (name === 'curfew-envoy' ? { livenessProbe: slow } : {}));
    expect(named(reinvoked(changed), 'curfew-envoy').livenessProbe).toMatchObject({
      failureThreshold: 30,
      timeoutSeconds: 9,
      httpGet: named(once, 'curfew-envoy').livenessProbe?.httpGet,
    });
  });

  it('leaves what runs in them, and in which order they start, to us', () => {
    const once = injected(podWith(http), given);
    const changed = stepOn(once, () => ({ command: ['true'], args: [], restartPolicy: 'Always' }));
    const backwards = {
      ...changed,
      spec: { ...changed.spec, initContainers: changed.spec.initContainers?.toReversed() },
    };
    expect(reinvoked(backwards)).toEqual(once);
  });

  it('keeps a volume of ours as a step left it', () => {
    const once = injected(podWith(http), given);
    const larger = { name: 'curfew-socket', emptyDir: { medium: 'Memory', sizeLimit: '4Mi' } };
    const sized = (once.spec.volumes ?? []).map((one) => (one.name === larger.name ? larger : one));
    const changed = { ...once, spec: { ...once.spec, volumes: sized } };
    expect(reinvoked(changed).spec.volumes).toEqual(sized);
  });
});

describe('a pod that comes with containers of our names', () => {
  it('keeps nothing of them at the first look, whatever else it says of itself', () => {
    const honest = injected(podWith(http), options());
    const planted = stepOn(honest, () => ({
      image: 'hostile:1',
      imagePullPolicy: 'Never',
      env: [{ name: 'NODE_OPTIONS', value: '--require /x.cjs' }],
      resources: { limits: { memory: '1Mi' } },
      securityContext: { privileged: true },
    }));
    const answered = injected(planted, options());
    expect(named(answered, 'curfew-authorizer')).toEqual(named(honest, 'curfew-authorizer'));
    expect(named(answered, 'curfew-redirect')).toEqual(named(honest, 'curfew-redirect'));
  });
});
