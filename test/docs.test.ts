import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { toJsonSchema } from '@valibot/to-json-schema';
import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { parse } from 'yaml';
import { allReasons, reasons } from '../src/check/reasons.ts';
import { authorizerSchema } from '../src/config/authorizer.ts';
import { identitySchema } from '../src/config/identity.ts';
import { injectorSchema } from '../src/config/injector.ts';
import { relaySchema } from '../src/config/relay.ts';
import { createInjectorMetrics } from '../src/injection/injection-metrics.ts';
import { faultCodes } from '../src/runtime/fault.ts';
import { createAuthorizerMetrics, createOwnerMetrics, Registry } from '../src/runtime/metrics.ts';

const root = join(import.meta.dirname, '..');
const read = (name: string): string => readFileSync(join(root, name), 'utf8');
const pages = globSync(['*.md', '{.github,docs,k8s,examples,charts,proto,src}/**/*.md'], {
  cwd: root,
}).toSorted();

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

  it('has a line for every reason of a denial, with its status and its error code', () => {
    const rows = [...read('docs/denials.md').matchAll(/^\| `(\w+)` \| (\d{3}) \| (?:`(\w+)`|–) \|/gm)];
    const expected = allReasons.map((reason) => [
      reason,
      { status: reasons[reason].httpStatus, code: reasons[reason].code },
    ]);
    expect(
      Object.fromEntries(rows.map(([, reason, status, code]) => [reason, { status: Number(status), code }])),
    ).toEqual(Object.fromEntries(expected));
    expect(rows).toHaveLength(allReasons.length);
  });

  it('has a line for every folder of src, in the table and in the picture', () => {
    const folders = readdirSync(join(root, 'src'));
    const page = read('docs/architecture.md');
    const section = page.slice(page.indexOf('## The folders of src'), page.indexOf('## Directions'));
    const listed = [...section.matchAll(/^\| `([\w-]+)`/gm)].map((match) => match[1]);
    const drawn = [...read('docs/pictures/rooms.svg').matchAll(/class="name"[^>]*>([\w-]+)</g)].map(
      (match) => match[1],
    );
    expect(new Set(listed)).toEqual(new Set(folders));
    expect(new Set(drawn)).toEqual(new Set(folders));
    expect([listed.length, drawn.length]).toEqual([folders.length, folders.length]);
  });

  it.each(['overview', 'rooms'])('draws %s alike in the light and in the dark', (name) => {
    const withoutColours = (file: string): string => read(file).replaceAll(/#[0-9a-f]{6}\b/g, '');
    expect(withoutColours(`docs/pictures/${name}-dark.svg`)).toBe(
      withoutColours(`docs/pictures/${name}.svg`),
    );
  });

  it('lists every decision record', () => {
    const records = readdirSync(join(root, 'docs/adr')).filter((name) => /^\d{4}-/.test(name));
    const listed = [...read('docs/adr/README.md').matchAll(/\]\((\d{4}-[\w-]+\.md)\)/g)].map(
      (match) => match[1],
    );
    expect(listed).toEqual(records.toSorted());
  });

  it('explains terms in alphabetical order', () => {
    const terms = [...read('docs/glossary.md').matchAll(/^\*\*([^*]+)\*\*/gm)].map(([, term = '']) => term);
    expect(terms).toEqual(terms.toSorted(new Intl.Collator('en').compare));
  });

  it('links only to files and headings that exist', () => {
    const broken = pages.flatMap((page) =>
      linksIn(page)
        .filter((link) => !resolves(page, link))
        .map((link) => `${page} -> ${link}`),
    );
    expect(broken).toEqual([]);
  });

  it('names only files that exist', () => {
    // The changelog tells what was.
    const missing = pages
      .filter((page) => page !== 'CHANGELOG.md')
      .flatMap((page) => {
        const named = read(page).matchAll(/`((?:src|test|scripts|docs|bench|charts|k8s)\/[\w./-]+)`/g);
        return [...named]
          .map(([, file]) => file ?? '')
          .filter((file) => !existsSync(join(root, file)))
          .map((file) => `${page} -> ${file}`);
      });
    expect(missing).toEqual([]);
  });
});

/** The targets of links and pictures that don't lead to other sites. */
function linksIn(page: string): string[] {
  const text = withoutCode(read(page));
  const links = [...text.matchAll(/\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"/g)];
  return links
    .map(([, markdown, html]) => markdown ?? html ?? '')
    .filter((target) => !/^(?:https?|mailto):/.test(target));
}

function resolves(page: string, link: string): boolean {
  const [path = '', heading] = link.split('#');
  const target = path === '' ? page : join(dirname(page), path);
  if (!existsSync(join(root, target))) return false;
  return heading === undefined || anchorsIn(read(target)).includes(heading);
}

/** The anchors that GitHub gives to headings. */
const anchorsIn = (text: string): string[] =>
  [...withoutCode(text).matchAll(/^#+ +(.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
      .replaceAll(' ', '-'),
  );

const withoutCode = (text: string): string => text.replaceAll(/^```.*?^```/gms, '');

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
