import { authorizerCluster, serviceCluster, socketAddress } from './envoy-clusters.ts';
import { httpListener } from './envoy-listener.ts';
import type { EnvoyConfigOptions, EnvoyObject } from './envoy-options.ts';

/**
 * The Envoy configuration we recommend, as an object to be written as JSON or YAML. Made for Envoy 1.36 and newer.
 * @throws ERR_CONFIG_INVALID for what Envoy would take differently than it looks
 */
export function envoyConfig(options: EnvoyConfigOptions): EnvoyObject {
  return {
    ...(options.admin === undefined ? {} : { admin: { address: socketAddress(options.admin) } }),
    static_resources: {
      listeners: options.services.map((service) => httpListener(service, options)),
      clusters: [
        ...options.services.map(serviceCluster),
        authorizerCluster(options.authorizer, options.authorizerTls),
      ],
    },
  };
}
