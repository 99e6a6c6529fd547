import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { toJsonSchema } from '@valibot/to-json-schema';
import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { parse } from 'yaml';
import { authorizerSchema } from '../src/config/authorizer.ts';
import { identitySchema } from '../src/config/identity.ts';
import { injectorSchema } from '../src/config/injector.ts';
import { relaySchema } from '../src/config/relay.ts';
import { createInjectorMetrics } from '../src/injection/injection-metrics.ts';
import { faultCodes } from '../src/runtime/fault.ts';
import { createAuthorizerMetrics, createOwnerMetrics, Registry } from '../src/runtime/metrics.ts';

const root = join(import.meta.dirname, '..');
const read = (name: string): string => readFileSync(join(root, name), 'utf8');

describe('the documentation', () => {
  it('has a line for every error code, and for no other', () => {
    const documented = [...read('docs/errors.md').matchAll(/^\| `(ERR_\w+)`/gm)].map(
      (match) => match[1] ?? '',
    );
    expect(new Set(documented)).toEqual(new Set(faultCodes));
    expect(documented).toHaveLength(faultCodes.length);
  });

  it('has a line for every metric, with its labels, and for no other', async () => {
    const registry = new Registry();
    createAuthorizerMetrics(registry);
    createOwnerMetrics(registry);
    createInjectorMetrics(registry);
    const metrics = await registry.getMetricsAsJSON();
    const documented = [...read('docs/metrics.md').matchAll(/^\| `(curfew_\w+)/gm)].map(
      (match) => match[1] ?? '',
    );
    expect(new Set(documented)).toEqual(new Set(metrics.map(({ name }) => name)));
    expect(documented).toHaveLength(metrics.length);
  });

  it.each([
    ['authorizer', authorizerSchema],
    ['identity', identitySchema],
    ['relay', relaySchema],
    ['injector', injectorSchema],
  ])('shows a configuration of %s that is valid to the last key', (program, schema) => {
    const block =
      new RegExp(`\`\`\`yaml ${program}\\n(.*?)\`\`\``, 's').exec(read('docs/configuration.md'))?.[1] ?? '';
    expect(block).not.toBe('');
    expect(v.safeParse(schema, parse(block)).issues).toBeUndefined();
  });

  it.each([
    ['authorizer', authorizerSchema, ['configuration.md']],
    ['identity', identitySchema, ['configuration.md', 'identity.md', 'relay.md']],
    ['relay', relaySchema, ['configuration.md', 'relay.md']],
    ['injector', injectorSchema, ['configuration.md']],
  ] as const)('names every key of the configuration of %s', (_, schema, pages) => {
    const text = pages.map((page) => read(`docs/${page}`)).join('\n');
    const keys = keysOf(toJsonSchema(schema, { typeMode: 'input', errorMode: 'ignore' }));
    expect(keys.size).toBeGreaterThan(20);
    expect([...keys].filter((key) => !new RegExp(`\\b${key}\\b`).test(text))).toEqual([]);
  });

  it('shows configurations in the README that are valid', () => {
    const blocks = [...read('README.md').matchAll(/```yaml\n# (authorizer|identity)\.yaml\n(.*?)```/gs)];
    expect(
      blocks.map(
        ([, program, text]) =>
          v.safeParse(program === 'identity' ? identitySchema : authorizerSchema, parse(text ?? '')).success,
      ),
    ).toEqual([true, true]);
  });

  it('links only to files that exist', () => {
    const pages = [
      'README.md',
      'CONTRIBUTING.md',
      'SECURITY.md',
      ...readdirSync(join(root, 'docs'))
        .filter((name) => name.endsWith('.md'))
        .map((name) => `docs/${name}`),
    ];
    const broken = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)/g)]
        .map((match) => join(page, '..', match[1] ?? ''))
        .filter((target) => !exists(target))
        .map((target) => `${page} -> ${target}`),
    );
    expect(broken).toEqual([]);
  });
});

/** Every property that a JSON Schema knows, at any depth. */
function keysOf(schema: unknown): Set<string> {
  const keys = new Set<string>();
  if (typeof schema !== 'object' || schema === null) return keys;
  for (const [name, inner] of Object.entries(schema) as [string, unknown][]) {
    if (name === 'properties') for (const key of Object.keys(inner as object)) keys.add(key);
    for (const key of keysOf(inner)) keys.add(key);
  }
  return keys;
}

function exists(name: string): boolean {
  try {
    return readFileSync(join(root, name)).length > 0;
  } catch (thrown) {
    return thrown instanceof Error && 'code' in thrown && thrown.code === 'EISDIR';
  }
}
