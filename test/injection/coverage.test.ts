import { describe, expect, it } from 'vitest';
import { findUnprotectedPods } from '../../src/injection/coverage.ts';
import { injected, podFixture } from './fixtures.ts';

const rules = {
  excludeNamespaces: new Set(['kube-system']),
  allowOptOut: true,
  networkPolicyElsewhere: false,
};

const namespace = (name: string, inject?: string): object => ({
  kind: 'Namespace',
  metadata: { name, ...(inject !== undefined && { labels: { 'curfew/inject': inject } }) },
});

const pod = (namespaceName: string, name: string, changes: object = {}): object => ({
  kind: 'Pod',
  metadata: { name, namespace: namespaceName },
  spec: { containers: [] },
  status: { phase: 'Running' },
  ...changes,
});

const find = (items: readonly object[], given = rules) => findUnprotectedPods({ items }, given);

describe('running pods without sidecars', () => {
  it('are found in labelled namespaces, in both spellings, and nowhere else', () => {
    const items = [
      namespace('shop', 'enabled'),
      namespace('billing', 'true'),
      namespace('plain'),
      namespace('off', 'disabled'),
      ...['shop', 'billing', 'plain', 'off'].map((name) => pod(name, 'web')),
    ];
    expect(find(items)).toEqual({
      kind: 'coverage',
      wanted: 2,
      unprotected: [
        { namespace: 'shop', pod: 'web', reason: 'no_sidecars' },
        { namespace: 'billing', pod: 'web', reason: 'no_sidecars' },
      ],
    });
  });

  it('are found by their own label', () => {
    const labelled = pod('plain', 'web', {
      metadata: { name: 'web', namespace: 'plain', labels: { 'curfew/inject': 'enabled' } },
    });
    expect(find([namespace('plain'), labelled])).toMatchObject({ unprotected: [{ pod: 'web' }] });
  });

  it('do not include pods that have them', () => {
    const { spec } = injected(podFixture('file-server.yaml'));
    expect(find([namespace('shop', 'enabled'), pod('shop', 'web', { spec })])).toEqual({
      kind: 'coverage',
      wanted: 1,
      unprotected: [],
    });
  });

  it('include a pod that only says that it has them', () => {
    const marked = pod('shop', 'web', {
      metadata: { name: 'web', namespace: 'shop', labels: { 'curfew/injected': 'redirect' } },
      spec: { initContainers: [{ name: 'curfew-authorizer' }, { name: 'curfew-envoy' }] },
    });
    expect(find([namespace('shop', 'enabled'), marked])).toMatchObject({ unprotected: [{ pod: 'web' }] });
  });

  it('do not include those that opted out, unless that is not allowed', () => {
    const out = pod('shop', 'web', {
      metadata: { name: 'web', namespace: 'shop', labels: { 'curfew/inject': 'false' } },
    });
    const items = [namespace('shop', 'enabled'), out];
    expect(find(items)).toMatchObject({ wanted: 0 });
    expect(find(items, { ...rules, allowOptOut: false })).toMatchObject({ wanted: 1 });
  });

  it('do not include what has ended or is excluded', () => {
    const items = [
      namespace('shop', 'enabled'),
      namespace('kube-system', 'enabled'),
      pod('shop', 'job', { status: { phase: 'Succeeded' } }),
      pod('kube-system', 'dns'),
    ];
    expect(find(items)).toMatchObject({ wanted: 0, unprotected: [] });
  });

  it.each([
    [undefined],
    [{}],
    [{ items: [{ kind: 'Pod' }] }],
    [{ items: [pod('shop', 'web')] }],
    [{ items: 'many' }],
  ])('are not looked for in %j', (list) => {
    expect(findUnprotectedPods(list, rules)).toMatchObject({ kind: 'malformed' });
  });
});
