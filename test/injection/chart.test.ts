import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { createInjectorMetrics } from '../../src/injection/injection-metrics.ts';
import { createAuthorizerMetrics, createOwnerMetrics, Registry } from '../../src/runtime/metrics.ts';

const chart = join(import.meta.dirname, '..', '..', 'charts', 'curfew');
const read = (name: string): string => readFileSync(join(chart, name), 'utf8');

type Schema = {
  type?: string;
  description?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: unknown;
  oneOf?: Schema[];
};

const schema = JSON.parse(read('values.schema.json')) as Schema;
const values = parse(read('values.yaml')) as Record<string, unknown>;

/** Every setting of a schema, by its path. */
function settings(node: Schema, path = ''): [path: string, node: Schema][] {
  return Object.entries(node.properties ?? {}).flatMap(([name, inner]) => {
    const here = path === '' ? name : `${path}.${name}`;
    const below = settings(inner, here);
    below.unshift([here, inner]);
    return below;
  });
}

/** Paths in values that the schema does not know, or the other way round. */
function differences(value: unknown, node: Schema, path: string): string[] {
  const known = node.properties;
  if (known === undefined || typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  const names = new Set([...Object.keys(known), ...Object.keys(value)]);
  return [...names].flatMap((name) => {
    const here = `${path}.${name}`;
    const inner = known[name];
    if (inner === undefined) return [`${here} is not in the schema`];
    if (!Object.hasOwn(value, name)) return optional.has(here) ? [] : [`${here} has no value`];
    return differences((value as Record<string, unknown>)[name], inner, here);
  });
}

// Passed on as they are, where given.
const optional = new Set([
  '.global',
  '.injector.authorizer.token',
  '.injector.authorizer.upstream',
  '.injector.authorizer.denied',
  '.injector.authorizer.log',
  '.injector.authorizer.mode',
]);

describe("the chart's values", () => {
  it('are described one by one', () => {
    const undescribed = settings(schema).filter(([, { description = '' }]) => description.length < 4);
    expect(undescribed.map(([path]) => path)).toEqual([]);
  });

  it('have a default for every setting of the schema, and no other', () => {
    expect(differences(values, schema, '')).toEqual([]);
  });

  it('refuse unknown keys at every level with settings of its own', () => {
    const open = settings(schema).filter(
      ([, node]) => node.properties !== undefined && node.additionalProperties !== false,
    );
    expect(open.map(([path]) => path)).toEqual([]);
  });

  it('have the top level that is promised', () => {
    expect(Object.keys(values).toSorted()).toEqual(
      [
        'image',
        'issuers',
        'redis',
        'revocation',
        'injector',
        'identity',
        'relay',
        'metrics',
        'dashboards',
        'alerts',
        'networkPolicy',
      ].toSorted(),
    );
  });
});

describe("the chart's dashboard and alerts", () => {
  async function existing(): Promise<Set<string>> {
    const registry = new Registry();
    createAuthorizerMetrics(registry);
    createOwnerMetrics(registry);
    createInjectorMetrics(registry);
    const metrics = await registry.getMetricsAsJSON();
    return new Set(metrics.flatMap(({ name }) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]));
  }

  it.each(readdirSync(join(chart, 'dashboards')))('ask only for metrics that exist, in %s', async (name) => {
    const known = await existing();
    const asked = new Set(
      [...read(`dashboards/${name}`).matchAll(/\bcurfew_\w+/g)].map(([metric]) => metric),
    );
    expect([...asked].filter((metric) => !known.has(metric))).toEqual([]);
    expect(asked.size).toBeGreaterThan(5);
  });

  it('say of every alert what it means', () => {
    const alerts = parse(read('dashboards/alerts.yaml')) as {
      alert: string;
      expr: string;
      labels: { severity: string };
      annotations: { summary: string; description: string };
    }[];
    expect(alerts.map(({ alert }) => alert)).toEqual([...new Set(alerts.map(({ alert }) => alert))]);
    for (const { expr, labels, annotations } of alerts) {
      expect(expr.length).toBeGreaterThan(10);
      expect(['warning', 'critical']).toContain(labels.severity);
      expect(annotations.summary.length).toBeGreaterThan(10);
      expect(annotations.description.length).toBeGreaterThan(10);
    }
  });
});
