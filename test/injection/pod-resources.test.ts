import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { decideInjection } from '../../src/injection/injection.ts';
import { podSchema, type Pod } from '../../src/injection/pod.ts';
import { formatQuantity, parseQuantity } from '../../src/injection/quantity.ts';
import { applied, injected, options, podWith } from './fixtures.ts';

const resources = {
  authorizer: { requests: { cpu: '30m', memory: '64Mi' }, limits: { memory: '128Mi' } },
  envoy: { requests: { cpu: '20m', memory: '32Mi' }, limits: { memory: '100M' } },
  redirect: { requests: { cpu: '5m', memory: '16Mi' }, limits: { memory: '64Mi' } },
};
const given = () => options({ resources });
const http = [{ name: 'web', containerPort: 5000 }];

const withResources = (podLevel: object | undefined, annotations: Record<string, string> = {}): Pod => {
  const pod = podWith(http, annotations);
  return v.parse(podSchema, { ...pod, spec: { ...pod.spec, resources: podLevel } });
};

describe('a pod with resources of its own', () => {
  it('gets room for the sidecars', () => {
    const pod = withResources({
      requests: { cpu: '100m', memory: '128Mi' },
      limits: { cpu: '1', memory: '0.25Gi', 'hugepages-2Mi': '4Mi' },
    });
    expect(injected(pod, given()).spec.resources).toEqual({
      requests: { cpu: '150m', memory: '224Mi' },
      // Envoy and the authorizer have no CPU limit here, so they count with what they request.
      limits: { cpu: '1050m', memory: String(384 * 1024 * 1024 + 100_000_000), 'hugepages-2Mi': '4Mi' },
    });
  });

  it('gets room for what the redirect alone asks for, where that is more', () => {
    const annotation = { 'curfew/resources': '{"redirect":{"requests":{"cpu":"2"}}}' };
    const pod = withResources({ requests: { cpu: '100m' } }, annotation);
    expect(injected(pod, given()).spec.resources).toEqual({ requests: { cpu: '2100m' } });
  });

  it.each([
    ['none', undefined],
    ['only what the sidecars have none of', { requests: { 'ephemeral-storage': '1Gi' } }],
    ['a quantity that is for the API server to refuse', { requests: { memory: 'much' } }],
  ])('is left as it is with %s', (_what, podLevel) => {
    expect(injected(withResources(podLevel), given()).spec.resources).toEqual(podLevel);
  });

  const again = (pod: Pod): Pod => {
    const outcome = decideInjection({ uid: 'u', namespace: 'shop', pod }, given(), 'again');
    return v.parse(podSchema, applied(pod, outcome.kind === 'injected' ? outcome.patch : []));
  };
  const podLevel = { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '1' } };

  it('gets that room once, however often it is admitted', () => {
    const options = given();
    const once = injected(withResources(podLevel), options);
    expect(injected(once, options)).toEqual(once);
    expect(again(once)).toEqual(once);
  });

  it('keeps what another admission step made of it since', () => {
    const once = injected(withResources(podLevel), given());
    const raised = { ...once, spec: { ...once.spec, resources: { requests: { cpu: '3', memory: '1Gi' } } } };
    expect(again(raised)).toEqual(raised);
  });

  it('gets no more room by the defaults that the API server adds', () => {
    const once = injected(withResources({ requests: { memory: '128Mi' } }), given());
    const defaulted = { requests: { memory: '224Mi', cpu: '50m' } };
    const seen = { ...once, spec: { ...once.spec, resources: defaulted } };
    expect(again(seen).spec.resources?.requests?.['memory']).toBe('224Mi');
  });
});

describe('the resources of the redirect', () => {
  it('can be set by the annotation, as those of the sidecars', () => {
    const limits = { cpu: '50m', memory: '20Mi' };
    const pod = injected(
      podWith(http, { 'curfew/resources': JSON.stringify({ redirect: { limits } }) }),
      given(),
    );
    const redirect = pod.spec.initContainers?.find(({ name }) => name === 'curfew-redirect');
    expect(redirect?.['resources']).toEqual({ limits });
  });
});

describe('a quantity', () => {
  it.each([
    ['1', 1_000_000_000n],
    ['1500m', 1_500_000_000n],
    ['.5', 500_000_000n],
    ['2.', 2_000_000_000n],
    ['1Ki', 1024_000_000_000n],
    ['1.5Gi', 1_610_612_736_000_000_000n],
    ['2e3', 2_000_000_000_000n],
    ['1E-3', 1_000_000n],
    ['1E', 1_000_000_000_000_000_000_000_000_000n],
    ['3u', 3000n],
    ['7n', 7n],
    ['+1k', 1_000_000_000_000n],
  ])('%s is read as Kubernetes reads it', (text, nano) => {
    expect(parseQuantity(text)).toBe(nano);
  });

  it.each(['', '-1', '1 Gi', 'Gi', '1mi', '1e', '1e100', '1'.repeat(65), '0x1', '.', '1.2.3'])(
    '%j is none',
    (text) => {
      expect(parseQuantity(text)).toBeUndefined();
    },
  );

  it('is written so that it is at least as much when it is read again', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 24n }), (nano) => {
        const back = parseQuantity(formatQuantity(nano)) ?? -1n;
        expect(back >= nano && back - nano < 1_000_000n).toBe(true);
      }),
    );
  });
});
