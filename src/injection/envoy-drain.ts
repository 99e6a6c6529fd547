import { socketAddress, typed } from './envoy-clusters.ts';
import type { EnvoyObject } from './envoy-options.ts';

/** How kubelet notifies Envoy that the pod is stopping: a preStop hook that requests a secret path. */
export type DrainOptions = { readonly path: string; readonly adminPort: number };

const clusterName = 'curfew_envoy_admin';
const filterName = 'curfew.drain';

/**
 * The route makes Envoy call `/healthcheck/fail` on its own admin port. From then on, Envoy closes each
 * connection with its next response (`connection: close`, GOAWAY), so that clients leave before the
 * application stops. Kubernetes runs the hooks of all containers at once when it stops a pod, although
 * sidecars stop last.
 */
export const drainRoute = ({ path }: DrainOptions): EnvoyObject => ({
  // Matches any method, because Envoy selects the route again after the method has changed.
  match: { path },
  route: { cluster: clusterName, prefix_rewrite: '/healthcheck/fail', timeout: '2s' },
  typed_per_filter_config: {
    [filterName]: typed('envoy.extensions.filters.http.lua.v3.LuaPerRoute', {
      // A hook sends GET, but `/healthcheck/fail` needs POST. No other filter can change the method.
      source_code: {
        inline_string: "function envoy_on_request(handle) handle:headers():replace(':method', 'POST') end",
      },
    }),
  },
});

/** The filter for the route above; on other routes it is off. */
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
