import { request, Agent } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { at, items, type Node } from '../../src/envoy-lint/node.ts';
import { forwardingRoutes } from '../../src/envoy-lint/route-policies.ts';
import { startEnvoyWith, type RunningEnvoy } from '../envoy/envoy-process.ts';

const type = (name: string): string => `type.googleapis.com/envoy.${name}`;
const filters = 'extensions.filters.http';
const perRoute = (settings: object): object => ({
  '@type': type(`${filters}.ext_authz.v3.ExtAuthzPerRoute`),
  ...settings,
});
const filterConfig = (settings: object): object => ({
  '@type': type('config.route.v3.FilterConfig'),
  ...settings,
});
const settings = perRoute({ check_settings: { context_extensions: { 'curfew.access': 'optional' } } });

/** What a level of the routes may say of the check. */
const says: Readonly<Record<string, object>> = {
  nothing: {},
  on: { curfew: filterConfig({ config: {} }) },
  settings: { curfew: settings },
  wrapped: { curfew: filterConfig({ config: settings }) },
  off: { curfew: filterConfig({ disabled: true }) },
  disabled: { curfew: perRoute({ disabled: true }) },
  wrappedDisabled: { curfew: filterConfig({ config: perRoute({ disabled: true }) }) },
  misnamed: { 'envoy.filters.http.ext_authz': perRoute({ disabled: true }) },
};
const kinds = Object.keys(says);

/**
 * Every third combination of what route and weighted cluster say; all of them with the other levels are too
 * many.
 */
const pairs = kinds.flatMap((inRoute) => kinds.map((inCluster) => ({ inRoute, inCluster })));
const routesOf = (host: number): object[] =>
  pairs
    .filter((_, index) => index % 3 === host % 3)
    .map(({ inRoute, inCluster }) => ({
      match: { path: `/${inRoute}/${inCluster}` },
      typed_per_filter_config: says[inRoute],
      route: {
        weighted_clusters: {
          clusters: [{ name: 'nowhere', weight: 1, typed_per_filter_config: says[inCluster] }],
        },
      },
    }));

const tableOf = (said: string): object => ({
  typed_per_filter_config: says[said],
  virtual_hosts: kinds.map((kind, index) => ({
    name: kind,
    domains: [kind],
    typed_per_filter_config: says[kind],
    routes: routesOf(index + kinds.indexOf(said)),
  })),
});

const listenerOf = (name: string, disabled: boolean, said: string): object => ({
  name,
  address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
  filter_chains: [
    {
      filters: [
        {
          name: 'manager',
          typed_config: {
            '@type': type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
            stat_prefix: name,
            route_config: tableOf(said),
            http_filters: [
              {
                name: 'curfew',
                disabled,
                typed_config: {
                  '@type': type(`${filters}.ext_authz.v3.ExtAuthz`),
                  transport_api_version: 'V3',
                  grpc_service: { envoy_grpc: { cluster_name: 'nowhere' } },
                },
              },
              { name: 'router', typed_config: { '@type': type(`${filters}.router.v3.Router`) } },
            ],
          },
        },
      ],
    },
  ],
});

const listeners = [false, true].flatMap((disabled) =>
  kinds.map((said) => ({ name: `${said} ${disabled}`, disabled, said })),
);

describe('the linter takes a route as checked exactly where Envoy asks the authorizer', () => {
  let envoy: RunningEnvoy;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });

  beforeAll(async () => {
    envoy = await startEnvoyWith({
      admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
      static_resources: {
        listeners: listeners.map(({ name, disabled, said }) => listenerOf(name, disabled, said)),
        // Without an endpoint: a check fails with 403, a request that passes without one ends in 503.
        clusters: [{ name: 'nowhere', load_assignment: { cluster_name: 'nowhere' } }],
      },
    });
  });
  afterAll(async () => {
    agent.destroy();
    await envoy.stop();
  });

  const ask = (port: number, host: string, path: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const asked = request({ host: '127.0.0.1', port, path, agent, headers: { host } }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      });
      asked.on('error', reject).end();
    });

  it.each(listeners)(
    'under a table that says $said, with disabled: $disabled',
    async ({ name, disabled, said }) => {
      const table: Node = { value: tableOf(said), path: '' };
      const taken: string[] = [];
      const answered: string[] = [];
      for (const host of items(at(table, 'virtual_hosts'))) {
        const only: Node = { value: { ...tableOf(said), virtual_hosts: [host.value] }, path: '' };
        for (const { text, policy } of forwardingRoutes(only, { name: 'curfew', isOn: !disabled })) {
          const path = JSON.parse(text.replace(/^path /, '')) as string;
          const authority = String(at(host, 'name')?.value);
          const status = await ask(envoy.port(name), authority, path);
          taken.push(`${authority}${path} ${policy.kind === 'checked' ? 403 : 503}`);
          answered.push(`${authority}${path} ${status}`);
        }
      }
      expect(taken.length).toBeGreaterThan(150);
      expect(taken).toEqual(answered);
    },
  );
});
