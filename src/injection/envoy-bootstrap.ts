import type { Address } from '../runtime/address.ts';
import { Fault } from '../runtime/fault.ts';
import { envoyConfig } from './envoy-config.ts';
import type { EnvoyConfigOptions, EnvoyObject, EnvoyService } from './envoy-options.ts';
import { probeClusters, probeListener } from './envoy-probes.ts';
import type { PodPorts } from './pod-ports.ts';
import type { PodSettings } from './pod-settings.ts';
import type { ProbeTarget } from './probe-rewriting.ts';

/** The options of Envoy's configuration that follow from the authorizer's configuration. */
export type EnvoyNeeds = Pick<EnvoyConfigOptions, 'sources' | 'reservedPrefix' | 'cors' | 'loginRedirect'>;

export type AddressFamilies = 'dual' | 'ipv4';

export type BootstrapOptions = {
  readonly authorizer: Address;
  readonly needs: EnvoyNeeds;
  readonly addressFamilies: AddressFamilies;
  readonly accessLog: 'stdout' | 'none';
  /** The path by which kubelet notifies Envoy that the pod is stopping. */
  readonly drainPath: string;
};

// The pod has no address yet. An address for documentation (RFC 5737) is its placeholder in the
// configuration, and becomes a variable that Kubernetes expands when it starts Envoy.
const podAddress = '192.0.2.1';
const podAddressVariable = '$(POD_IP)';

// execve(2): an argument has at most 128 KiB, its terminating zero included.
const maxBootstrapBytes = 128 * 1024 - 1;

// Not 127.0.0.1, which applications trust. Istio uses this address as well, so applications may know it.
const sourceAddress = '127.0.0.6';

/**
 * The Envoy configuration of a pod, as a container argument. Kubernetes expands `$(POD_IP)`; every other `$`
 * is escaped.
 * @throws ERR_CONFIG_INVALID for paths that Envoy would not match as they are written, and if it is too large
 */
export function envoyBootstrap(
  settings: PodSettings,
  ports: PodPorts,
  targets: readonly ProbeTarget[],
  options: BootstrapOptions,
): string {
  const host = options.addressFamilies === 'dual' ? '::' : '0.0.0.0';
  const config = envoyConfig({
    ...options.needs,
    authorizer: options.authorizer,
    accessLog: options.accessLog,
    admin: { host: '127.0.0.1', port: ports.own.envoyAdmin },
    services: ports.protected.map(({ port, envoyPort }): EnvoyService => ({
      name: `port-${port}`,
      listen: { host, port: envoyPort },
      upstream: { host: podAddress, port, sourceAddress },
      policy: settings.policy,
      publicPaths: settings.publicPaths,
      corsPreflight: settings.corsPreflight,
      trustedProxyHops: settings.trustedProxyHops,
      ...(settings.maxStreamDurationMs !== undefined && {
        maxStreamDurationMs: settings.maxStreamDurationMs,
      }),
    })),
  });
  const probes = {
    listen: { host, port: ports.own.probes },
    upstreamHost: podAddress,
    sourceAddress,
    targets,
    reservedPrefix: options.needs.reservedPrefix,
    sources: options.needs.sources,
    drain: { path: options.drainPath, adminPort: ports.own.envoyAdmin },
  };
  const text = JSON.stringify(forPod(withProbes(config, probeListener(probes), probeClusters(probes))));
  if (Buffer.byteLength(text) > maxBootstrapBytes)
    throw new Fault(
      'ERR_CONFIG_INVALID',
      "Envoy's configuration is too large; name fewer ports and public paths",
    );
  return text;
}

function withProbes(
  config: EnvoyObject,
  listener: EnvoyObject,
  clusters: readonly EnvoyObject[],
): EnvoyObject {
  const resources = config['static_resources'] as { listeners: EnvoyObject[]; clusters: EnvoyObject[] };
  return {
    ...config,
    static_resources: {
      listeners: [...resources.listeners, listener],
      clusters: [...resources.clusters, ...clusters],
    },
  };
}

/** Adapts the configuration to a pod: its own address, both address families, and the `$` of Kubernetes. */
function forPod(value: unknown): unknown {
  if (typeof value === 'string')
    return value.replaceAll('$', '$$$$').replaceAll(podAddress, podAddressVariable);
  if (Array.isArray(value)) return value.map(forPod);
  if (typeof value !== 'object' || value === null) return value;
  const fitted = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, forPod(inner)]));
  if (fitted['address'] === '::' && 'port_value' in fitted) return { ...fitted, ipv4_compat: true };
  // The source must be of the target's family; `::` leaves the choice to the kernel.
  if ('source_address' in fitted)
    return { ...fitted, extra_source_addresses: [{ address: { address: '::', port_value: 0 } }] };
  return fitted;
}
