import type { Admission } from './admission-review.ts';
import { isOurContainer, isOurVolume, labels } from './names.ts';
import type { Container, Pod } from './pod.ts';
import { choosePorts, type PodPorts } from './pod-ports.ts';
import { parsePodSettings, type PodSettings, type SettingDefaults } from './pod-settings.ts';
import { refusePod, type PodRefusal } from './refusal.ts';

export type Eligibility =
  | { readonly kind: 'eligible'; readonly settings: PodSettings; readonly ports: PodPorts }
  | { readonly kind: 'skipped'; readonly reason: 'opted_out' | 'excluded_namespace' }
  | PodRefusal;

export type EligibilityRules = {
  readonly excludeNamespaces: ReadonlySet<string>;
  readonly allowOptOut: boolean;
  readonly defaults: SettingDefaults;
  readonly networkPolicy: {
    /**
     * The namespaces where the chart's NetworkPolicy closes the application's ports of pods with proxy
     * capture.
     */
    readonly namespaces: ReadonlySet<string>;
    /** The operator's own policies close them, in every namespace. */
    readonly managedExternally: boolean;
  };
};

/**
 * Decides whether a pod gets the sidecars. The pod is given without what an earlier admission added. The
 * decision rests on containers, images and ports, never on a mark such as "already injected", which anyone
 * could set.
 */
export function evaluatePod({ namespace, pod }: Admission, rules: EligibilityRules): Eligibility {
  if (rules.excludeNamespaces.has(namespace)) return { kind: 'skipped', reason: 'excluded_namespace' };
  if (rules.allowOptOut && isOptedOut(pod)) return { kind: 'skipped', reason: 'opted_out' };
  const unfit = evaluateSpec(pod);
  if (unfit !== undefined) return unfit;
  const parsed = parsePodSettings(pod.metadata.annotations ?? {}, rules.defaults);
  if (parsed.kind === 'refused') return parsed;
  const uncovered = evaluateCapture(namespace, parsed.settings, rules);
  if (uncovered !== undefined) return uncovered;
  const ports = choosePorts(pod, parsed.settings);
  if (ports.kind === 'refused') return ports;
  return evaluateProxied(ports, parsed.settings) ?? { kind: 'eligible', settings: parsed.settings, ports };
}

function isOptedOut({ metadata }: Pod): boolean {
  const value = metadata.labels?.[labels.inject];
  return value === 'disabled' || value === 'false';
}

function evaluateSpec({ spec }: Pod): PodRefusal | undefined {
  if (spec.hostNetwork === true)
    return refusePod(
      'host_network',
      "the pod uses its node's network, where traffic can't be captured; set hostNetwork: false",
    );
  if (spec.os?.name === 'windows' || spec.nodeSelector?.['kubernetes.io/os'] === 'windows')
    return refusePod('windows', 'the sidecars are Linux programs');
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  const mesh = containers.find(isMeshContainer);
  if (mesh !== undefined)
    return refusePod(
      'mesh_sidecar_present',
      `container ${mesh.name} belongs to a service mesh; let the mesh ask the authorizer (see k8s/istio), or keep this pod out of the mesh`,
    );
  const taken = containers.find(
    ({ name, volumeMounts = [] }) =>
      isOurContainer(name) || volumeMounts.some((mount) => isOurVolume(mount.name)),
  );
  if (taken !== undefined)
    return refusePod(
      'reserved_name',
      `container ${taken.name} has, or mounts, a name that is reserved for the sidecars`,
    );
  return undefined;
}

const meshNames: ReadonlySet<string> = new Set([
  'istio-proxy',
  'istio-init',
  'istio-validation',
  'linkerd-proxy',
  'linkerd-init',
  'linkerd-network-validator',
  'consul-dataplane',
  'consul-connect-envoy-sidecar',
  'kuma-sidecar',
  'kuma-init',
  'osm-init',
]);
const meshImages =
  /(?:^|\/)(?:proxyv2|linkerd2?-proxy|proxy-init|consul-dataplane|kuma-dp|kuma-init)(?:[:@]|$)/;

const isMeshContainer = ({ name, image = '' }: Container): boolean =>
  meshNames.has(name) || meshImages.test(image);

// With proxy capture, the application keeps its port, and only a NetworkPolicy keeps clients away from it.
function evaluateCapture(
  namespace: string,
  { capture }: PodSettings,
  { networkPolicy }: EligibilityRules,
): PodRefusal | undefined {
  if (capture !== 'proxy' || networkPolicy.managedExternally || networkPolicy.namespaces.has(namespace))
    return undefined;
  return refusePod(
    'no_network_policy',
    `in namespace ${namespace} no NetworkPolicy closes the pod's own ports, which curfew/capture: proxy leaves open; name the namespace in injector.namespaces with networkPolicy.enabled, set networkPolicy.managedExternally if a policy of your own does it, or use curfew/capture: redirect`,
  );
}

// Services find Envoy's port by the name that it takes over. A Service that targets the number would bypass
// Envoy.
function evaluateProxied(ports: PodPorts, { capture }: PodSettings): PodRefusal | undefined {
  if (capture !== 'proxy') return undefined;
  const unnamed = ports.protected.find(({ declared }) => declared?.name === undefined);
  if (unnamed === undefined) return undefined;
  return refusePod(
    'unnamed_target_port',
    `port ${unnamed.port} has no name; with curfew/capture: proxy a container must declare it with a name, and Services must use that as targetPort`,
  );
}
