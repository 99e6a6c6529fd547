import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { readDocuments } from '../../src/envoy-lint/documents.ts';
import { defaultLintOptions } from '../../src/envoy-lint/options.ts';
import { lintEnvoy } from '../../src/envoy-lint/lint.ts';
import { envoyConfig } from '../../src/injection/envoy-config.ts';
import { envoyConfigOf, injected, options, podFixture } from '../injection/fixtures.ts';
import { startEnvoy } from '../envoy/envoy-process.ts';
import { findingsIn, lint, partsOf, put, recommended, service, type Tree } from './samples.ts';

const k8s = join(import.meta.dirname, '..', '..', 'k8s');

const lintText = (text: string) => {
  const read = readDocuments(text);
  if (read.kind !== 'documents') throw new Error(read.message);
  return lintEnvoy(read.documents, defaultLintOptions);
};

const risks = (findings: ReturnType<typeof lint>): string[] =>
  findings.filter(({ severity }) => severity !== 'info').map(({ rule, path }) => `${rule} ${path}`);

const spoilt = (): Tree => {
  const root = recommended();
  put(partsOf(root).check, { failure_mode_allow: true });
  return root;
};
const paths = (...documents: readonly unknown[]): string[] =>
  lint(...documents)
    .filter(({ rule }) => rule === 'failure-mode-allow')
    .map(({ path }) => path);

describe('our own configuration', () => {
  it.each([
    ['a public path', {}],
    ['no public path', { publicPaths: [], corsPreflight: 'deny' as const }],
    ['a public prefix', { publicPaths: [{ prefix: '/static/' }] }],
    [
      'routes that ask for different things',
      {
        routes: [
          { path: { prefix: '/admin' }, policy: { scopes: ['admin'] } },
          { path: { exact: '/feed' }, policy: { access: 'optional' as const } },
        ],
      },
    ],
  ])('has no risk, with %s', (_, changes) => {
    expect(risks(lint(recommended(changes)))).toEqual([]);
  });

  it.each(['file-server.yaml', 'grpc-with-everything.yaml', 'proxied.yaml'])(
    'has none in a pod, as the injector puts it into %s',
    (name) => {
      expect(risks(lint(envoyConfigOf(injected(podFixture(name), options()))))).toEqual([]);
    },
  );

  it('has none under another prefix and with another credential', () => {
    const config = envoyConfig({
      services: [service],
      authorizer: { kind: 'tcp', host: '127.0.0.1', port: 9001 },
      reservedPrefix: 'x-user-',
      sources: [{ header: 'x-token' }, { cookie: 'session' }],
    });
    const report = lintEnvoy([config], {
      prefix: 'x-user-',
      identity: ['x-user-id', 'x-user-scopes'],
      credentials: ['x-token', 'cookie'],
    });
    expect(risks(findingsIn(report))).toEqual([]);
    expect(risks(lint(config))).toEqual(
      expect.arrayContaining([
        expect.stringContaining('reserved-headers-kept'),
        expect.stringContaining('credential-not-sent'),
      ]),
    );
  });

  it.each(
    readdirSync(k8s, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /@type['"]?: .*(?:ExtAuthz|HttpConnectionManager)/.test(
        name.endsWith('.yaml') ? readFileSync(join(k8s, name), 'utf8') : '',
      ),
    ),
  )('has none in k8s/%s', (name) => {
    expect(risks(findingsIn(lintText(readFileSync(join(k8s, name), 'utf8'))))).toEqual([]);
  });

  it('has none in the dump of a running Envoy, and reports each finding once', async () => {
    const envoy = await startEnvoy({
      services: [service],
      authorizer: { kind: 'tcp', host: '127.0.0.1', port: 1 },
    });
    const report = lintText(await envoy.admin('/config_dump'));
    await envoy.stop();
    expect(risks(findingsIn(report))).toEqual([]);
    expect(findingsIn(report).filter(({ rule }) => rule === 'route-unchecked')).toHaveLength(2);
  });
});

describe('the linter looks into', () => {
  const listener = (): Tree => partsOf(spoilt()).listener;
  const inListener =
    /^filter_chains\[0\]\.filters\[0\]\.typed_config\.http_filters\[1\]\.typed_config\.failure_mode_allow$/;

  it('a bootstrap', () => {
    expect(paths(spoilt())).toEqual([
      'static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[1].typed_config.failure_mode_allow',
    ]);
  });

  it('a listener', () => {
    expect(paths(listener())).toEqual([expect.stringMatching(inListener)]);
  });

  it('an LDS answer', () => {
    expect(paths({ resources: [listener()] })).toEqual([
      expect.stringMatching(/^resources\[0\]\.filter_chains/),
    ]);
  });

  it('an RDS answer, whose listener is elsewhere', () => {
    const table = partsOf(recommended()).manager['route_config'];
    expect(lint({ resources: [table] }).map(({ rule }) => rule)).toEqual([
      'route-unchecked',
      'route-unchecked',
    ]);
  });

  it('the routes that a connection manager names', () => {
    const { listener, manager, routes } = partsOf(recommended());
    routes.splice(0, 2);
    const table = manager['route_config'];
    Reflect.deleteProperty(manager, 'route_config');
    put(manager, { rds: { route_config_name: 'orders' } });
    expect(risks(lint({ resources: [listener] })).length).toBeGreaterThan(0);
    expect(risks(lint({ resources: [listener, table] }))).toEqual([]);
  });

  it('one of several documents, and a value that others refer to', () => {
    expect(paths({ kind: 'Namespace' }, listener())).toEqual([
      expect.stringMatching(/^document\[1\]\.filter_chains/),
    ]);
    const twice = listener();
    const text = stringify({ resources: [twice, twice] });
    expect(text).toContain('*a1');
    const report = lintText(text);
    expect(findingsIn(report).filter(({ rule }) => rule === 'failure-mode-allow')).toHaveLength(2);
  });

  it('a TypedStruct', () => {
    const { filters, listener, check } = partsOf(spoilt());
    const value = Object.fromEntries(Object.entries(check).filter(([key]) => key !== '@type'));
    put(filters[1] as Tree, {
      typed_config: {
        '@type': 'type.googleapis.com/xds.type.v3.TypedStruct',
        type_url: check['@type'],
        value,
      },
    });
    expect(paths(listener)).toEqual([expect.stringMatching(/typed_config\.value\.failure_mode_allow$/)]);
  });

  it('a filter under a name of its own', () => {
    const { filters, listener, routes } = partsOf(spoilt());
    put(filters[1] as Tree, { name: 'curfew' });
    put(routes[0] as Tree, { typed_per_filter_config: { curfew: { disabled: true } } });
    expect(paths(listener)).toHaveLength(1);
    // The other route's setting is still under the usual name, where Envoy ignores it.
    const found = lint(listener).map(({ rule, path }) => `${rule} ${path.replace(/^.*(?=routes)/, '')}`);
    expect(found.filter((one) => one.startsWith('route-'))).toEqual([
      'route-setting-ignored routes[1].typed_per_filter_config["envoy.filters.http.ext_authz"]',
      'route-unchecked routes[0].typed_per_filter_config.curfew',
    ]);
  });

  it('each listener for itself', () => {
    const root = recommended();
    const second = structuredClone(partsOf(root).listener);
    const { filters } = partsOf({ static_resources: { listeners: [second] } } as unknown as Tree);
    put(second, { name: 'second' });
    filters.splice(1, 1);
    root['static_resources']?.['listeners']?.push(second);
    expect(risks(lint(root))).toEqual([
      'check-missing static_resources.listeners[1].filter_chains[0].filters[0].typed_config.http_filters',
    ]);
  });
});

describe('the linter', () => {
  it.each([[{}], [[]], ['text'], [{ kind: 'Namespace', metadata: { name: 'x' } }], [null]])(
    'does not call %j clean: it is no Envoy configuration',
    (document) => {
      expect(lintEnvoy([document], defaultLintOptions).kind).toBe('unrecognized');
    },
  );

  it('refuses a small file that expands to a large tree', () => {
    const lines = ['a0: &a0 [x,x,x,x,x,x,x,x,x,x]'];
    for (let level = 1; level < 9; level += 1)
      lines.push(`a${level}: &a${level} [${Array.from({ length: 10 }, () => `*a${level - 1}`).join(',')}]`);
    expect(readDocuments(lines.join('\n'))).toMatchObject({ kind: 'unreadable' });
  });

  it('looks at three million nodes at most', () => {
    const wide = Array.from({ length: 1000 }, () => 1);
    const document = { virtual_hosts: [], wide: Array.from({ length: 3001 }, () => wide) };
    expect(lintEnvoy([document], defaultLintOptions)).toEqual({
      kind: 'unrecognized',
      message: 'the document is too large',
    });
  });

  it('reads any depth', () => {
    let deep: unknown = partsOf(spoilt()).listener;
    for (let level = 0; level < 20_000; level += 1) deep = [deep];
    expect(findingsIn(lintEnvoy([deep], defaultLintOptions)).length).toBeGreaterThan(0);
  });

  it('quotes nothing of a file that it cannot read', () => {
    const read = readDocuments('secret: hunter2\nkey: {broken hunter2: [');
    expect(read).toMatchObject({ kind: 'unreadable' });
    expect(JSON.stringify(read)).not.toContain('hunter2');
  });

  it('never throws, whatever a text contains', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const read = readDocuments(text);
        const report = read.kind === 'documents' ? lintEnvoy(read.documents, defaultLintOptions) : read;
        expect(['linted', 'unrecognized', 'unreadable']).toContain(report.kind);
      }),
    );
  });

  it('accepts a list with holes', () => {
    const listeners: unknown[] = [];
    listeners[3] = {};
    expect(lintEnvoy([{ static_resources: { listeners } }], defaultLintOptions).kind).toBe('unrecognized');
  });

  it('never throws for a value of another type than expected', () => {
    const all = places(recommended({ publicPaths: [{ prefix: '/static/' }] }));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(), fc.jsonValue({ maxDepth: 3 })), { maxLength: 6 }),
        (changes) => {
          const root = recommended({ publicPaths: [{ prefix: '/static/' }] });
          for (const [number, value] of changes)
            replace(root, all[number % all.length] ?? [], structuredClone(value));
          expect(['linted', 'unrecognized']).toContain(lintEnvoy([root], defaultLintOptions).kind);
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** Every place below a value, as the keys that lead to it. */
function places(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  const here = Object.keys(value).map((key) => path.concat(key));
  return here.flatMap((one) => [one].concat(places(Reflect.get(value, one.at(-1) ?? ''), one)));
}

function replace(root: Tree, path: readonly string[], value: unknown): void {
  const [last, ...rest] = path.toReversed();
  let at: unknown = root;
  for (const step of rest.reverse())
    at = typeof at === 'object' && at !== null ? Reflect.get(at, step) : undefined;
  if (typeof at === 'object' && at !== null && last !== undefined) Reflect.set(at, last, value);
}
