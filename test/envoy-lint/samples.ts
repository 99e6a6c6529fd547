import { envoyConfig } from '../../src/injection/envoy-config.ts';
import type { EnvoyService } from '../../src/injection/envoy-options.ts';
import { lintEnvoy, type LintReport } from '../../src/envoy-lint/lint.ts';
import { defaultLintOptions } from '../../src/envoy-lint/options.ts';
import type { Finding } from '../../src/envoy-lint/rules.ts';

/** Envoy's configuration as anything that a test may change. */
export type Tree = { [key: string]: Tree } & Tree[];

export const service: EnvoyService = {
  name: 'orders',
  listen: { host: '0.0.0.0', port: 8000 },
  upstream: { host: '127.0.0.1', port: 3000 },
  publicPaths: [{ exact: '/healthz' }],
};

/** Our own configuration, to be spoilt. */
export const recommended = (changes: Partial<EnvoyService> = {}): Tree =>
  JSON.parse(
    JSON.stringify(
      envoyConfig({
        authorizer: { kind: 'unix', path: '/run/curfew/authorizer.sock' },
        admin: { host: '127.0.0.1', port: 9901 },
        services: [{ ...service, ...changes }],
      }),
    ),
  ) as Tree;

export type Parts = {
  readonly root: Tree;
  readonly listener: Tree;
  readonly manager: Tree;
  readonly filters: Tree[];
  readonly check: Tree;
  readonly strip: Tree;
  readonly host: Tree;
  readonly routes: Tree[];
};

export function partsOf(root: Tree): Parts {
  const listener = root['static_resources']?.['listeners']?.[0] as Tree;
  const manager = listener['filter_chains']?.[0]?.['filters']?.[0]?.['typed_config'] as Tree;
  const filters = manager['http_filters'] as Tree[];
  const host = manager['route_config']?.['virtual_hosts']?.[0] as Tree;
  return {
    root,
    listener,
    manager,
    filters,
    check: filters[1]?.['typed_config'] as Tree,
    strip: filters[0]?.['typed_config']?.['mutations'] as Tree,
    host,
    routes: host['routes'] as Tree[],
  };
}

/** Puts values in place, untyped. */
export const put = (target: Tree, values: Record<string, unknown>): void =>
  void Object.assign(target, values);

export const filter = (kind: string, message: string, config: Record<string, unknown> = {}): Tree =>
  ({
    name: `envoy.filters.http.${kind}`,
    typed_config: {
      '@type': `type.googleapis.com/envoy.extensions.filters.http.${kind}.v3.${message}`,
      ...config,
    },
  }) as unknown as Tree;

export function findingsIn(report: LintReport): readonly Finding[] {
  if (report.kind !== 'linted') throw new Error(`not linted: ${report.message}`);
  return report.findings;
}

export const lint = (...documents: readonly unknown[]): readonly Finding[] =>
  findingsIn(lintEnvoy(documents, defaultLintOptions));
