import { socketAddress, typed } from './envoy-clusters.ts';
import type { EnvoyObject } from './envoy-options.ts';

/** How kubelet tells Envoy that the pod ends: by a path that nobody else knows, as a preStop hook. */
export type DrainOptions = { readonly path: string; readonly adminPort: number };

const clusterName = 'curfew_envoy_admin';
const filterName = 'curfew.drain';

/**
 * Lets Envoy ask its own administration to fail health checks, whereupon it closes each connection with the answer that
 * is next on it (`connection: close`, GOAWAY), so that clients have left before the application does. Kubernetes runs
 * the hooks of all containers when a pod's end begins, though a sidecar goes last.
 */
export const drainRoute = ({ path }: DrainOptions): EnvoyObject => ({
  // Any method: the route is looked up again when the method has changed.
  match: { path },
  route: { cluster: clusterName, prefix_rewrite: '/healthcheck/fail', timeout: '2s' },
  typed_per_filter_config: {
    [filterName]: typed('envoy.extensions.filters.http.lua.v3.LuaPerRoute', {
      // A hook can only GET, what it is to do can only be POSTed, and no other filter may change a method.
      source_code: {
        inline_string: "function envoy_on_request(handle) handle:headers():replace(':method', 'POST') end",
      },
    }),
  },
});

/** Does nothing but on the route above. */
export const drainFilter: EnvoyObject = {
  name: filterName,
  disabled: true,
  typed_config: typed('envoy.extensions.filters.http.lua.v3.Lua', {}),
};

export const drainCluster = ({ adminPort }: DrainOptions): EnvoyObject => ({
  name: clusterName,
  type: 'STATIC',
  connect_timeout: '1s',
  load_assignment: {
    cluster_name: clusterName,
    endpoints: [
      {
        lb_endpoints: [{ endpoint: { address: socketAddress({ host: '127.0.0.1', port: adminPort }) } }],
      },
    ],
  },
});
