import { authorizerCluster, serviceCluster, socketAddress } from './envoy-clusters.ts';
import { httpListener } from './envoy-listener.ts';
import type { EnvoyConfigOptions, EnvoyObject } from './envoy-options.ts';

/**
 * The recommended Envoy configuration, as an object to be written as JSON or YAML, for Envoy 1.36 and newer.
 * @throws ERR_CONFIG_INVALID for paths, header names and timeouts that Envoy would refuse, or not apply as
 * they are written
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
