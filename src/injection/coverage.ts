import * as v from 'valibot';
import { annotations, containerNames, isOurContainer, labels } from './names.ts';
import { isTcp, podSchema, servingContainers, type Pod } from './pod.ts';
import { policyGap, policySpecSchema, type IngressPolicy, type PolicyGap } from './policy-coverage.ts';

/**
 * A running pod that should be protected, by its own label or its namespace's, but is not; with the reason.
 */
export type UnprotectedPod = { readonly namespace: string; readonly pod: string } & (
  | { readonly reason: 'no_sidecars' }
  | PolicyGap
);

const metadata = v.looseObject({
  name: v.string(),
  namespace: v.optional(v.string(), ''),
  labels: v.optional(v.record(v.string(), v.string()), {}),
  annotations: v.optional(v.record(v.string(), v.string()), {}),
});

const podSpec = podSchema.entries.spec.entries;
const runningPod = v.looseObject({
  kind: v.literal('Pod'),
  metadata,
  spec: v.looseObject({ ...podSpec, containers: v.optional(podSpec.containers, []) }),
  status: v.optional(v.looseObject({ phase: v.optional(v.string()) }), {}),
});
type RunningPod = v.InferOutput<typeof runningPod>;

const listSchema = v.looseObject({
  items: v.array(
    v.variant('kind', [
      v.looseObject({ kind: v.literal('Namespace'), metadata }),
      v.looseObject({ kind: v.literal('NetworkPolicy'), metadata, spec: policySpecSchema }),
      runningPod,
    ]),
  ),
});

export type PodCoverage =
  | { readonly kind: 'coverage'; readonly wanted: number; readonly unprotected: readonly UnprotectedPod[] }
  | { readonly kind: 'malformed'; readonly message: string };

export type CoverageRules = {
  readonly excludeNamespaces: ReadonlySet<string>;
  /** `false`: a pod can't opt out by its own label. */
  readonly allowOptOut: boolean;
  /** `true`: something other than a NetworkPolicy closes the ports of pods with proxy capture. */
  readonly networkPolicyElsewhere: boolean;
};

const isOn = (value: string | undefined): boolean => value === 'enabled' || value === 'true';
const isOff = (value: string | undefined): boolean => value === 'disabled' || value === 'false';

/**
 * Finds the running pods that should be protected but are not: pods that started before their namespace was
 * labelled, and pods with proxy capture whose own ports no NetworkPolicy closes.
 * @param list what `kubectl get namespaces,pods,networkpolicies --all-namespaces --output json` prints,
 * parsed
 */
export function findUnprotectedPods(list: unknown, rules: CoverageRules): PodCoverage {
  const parsed = v.safeParse(listSchema, list);
  if (!parsed.success)
    return { kind: 'malformed', message: 'not a list of namespaces, pods and NetworkPolicies' };
  const { items } = parsed.output;
  // Without namespaces, every pod would seem to be in an unlabelled one.
  if (!items.some(({ kind }) => kind === 'Namespace'))
    return { kind: 'malformed', message: 'there is no namespace in the list' };
  const labelled = new Set(
    items
      .filter((item) => item.kind === 'Namespace' && isOn(item.metadata.labels[labels.inject]))
      .map((item) => item.metadata.name),
  );
  const isWanted = ({ namespace, labels: own }: RunningPod['metadata']): boolean => {
    if (rules.excludeNamespaces.has(namespace)) return false;
    if (rules.allowOptOut && isOff(own[labels.inject])) return false;
    return labelled.has(namespace) || isOn(own[labels.inject]);
  };
  const policies = Map.groupBy(
    items.filter((item) => item.kind === 'NetworkPolicy'),
    (policy) => policy.metadata.namespace,
  );
  const wanted = items
    .filter((item) => item.kind === 'Pod')
    .filter((pod) => pod.status.phase === 'Running' && isWanted(pod.metadata));
  const unprotected = wanted.flatMap((pod): UnprotectedPod[] => {
    const { namespace, name } = pod.metadata;
    const inNamespace = (policies.get(namespace) ?? []).map(({ metadata: { name: policy }, spec }) => ({
      name: policy,
      spec,
    }));
    const gap = gapOf(pod, inNamespace, rules);
    return gap === undefined ? [] : [{ namespace, pod: name, ...gap }];
  });
  return { kind: 'coverage', wanted: wanted.length, unprotected };
}

function gapOf(
  pod: RunningPod,
  policies: readonly IngressPolicy[],
  { networkPolicyElsewhere }: CoverageRules,
): { readonly reason: 'no_sidecars' } | PolicyGap | undefined {
  const { initContainers = [] } = pod.spec;
  const runs = (name: string): boolean =>
    initContainers.some((one) => one.name === name && one.restartPolicy === 'Always');
  if (!runs(containerNames.authorizer) || !runs(containerNames.envoy)) return { reason: 'no_sidecars' };
  const isRedirected = initContainers.some(({ name }) => name === containerNames.redirect);
  if (isRedirected || networkPolicyElsewhere) return undefined;
  return policyGap({ labels: pod.metadata.labels, ...portsOf(pod) }, policies);
}

/**
 * The ports that Envoy protects: those that the application declares, except for those that the pod leaves
 * open.
 */
function portsOf(pod: Pod) {
  const serving = servingContainers(pod);
  const declared = serving.flatMap(({ ports = [] }) => ports).filter(isTcp);
  const open = new Set(
    (pod.metadata.annotations?.[annotations.openPorts] ?? '').toLowerCase().split(/(?:\/tcp)?[\s,]+|\/tcp$/),
  );
  const closed = serving
    .filter(({ name }) => !isOurContainer(name))
    .flatMap(({ ports = [] }) => ports)
    .filter(
      (port) =>
        isTcp(port) &&
        !(port.name !== undefined && open.has(port.name)) &&
        !open.has(String(port.containerPort)),
    )
    .map(({ containerPort }) => containerPort);
  const named = Map.groupBy(declared, ({ name = '' }) => name);
  return {
    closed,
    named: new Map([...named].map(([name, ports]) => [name, ports.map((port) => port.containerPort)])),
  };
}
