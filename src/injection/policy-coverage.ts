import * as v from 'valibot';

const texts = v.record(v.string(), v.string());

const selectorSchema = v.looseObject({
  matchLabels: v.optional(texts, {}),
  matchExpressions: v.optional(
    v.array(
      v.looseObject({
        key: v.string(),
        operator: v.picklist(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: v.optional(v.array(v.string()), []),
      }),
    ),
    [],
  ),
});

const portSchema = v.looseObject({
  protocol: v.optional(v.string(), 'TCP'),
  port: v.optional(v.union([v.number(), v.string()])),
  endPort: v.optional(v.number()),
});

/** The members of a NetworkPolicy that restrict ingress. Source: networking.k8s.io/v1. */
export const policySpecSchema = v.looseObject({
  podSelector: selectorSchema,
  policyTypes: v.optional(v.array(v.string()), ['Ingress']),
  ingress: v.optional(v.array(v.looseObject({ ports: v.optional(v.array(portSchema), []) })), []),
});

export type IngressPolicy = {
  readonly name: string;
  readonly spec: v.InferOutput<typeof policySpecSchema>;
};

/** What matters of a pod to the policies of its namespace. */
export type SelectedPod = {
  readonly labels: Readonly<Record<string, string>>;
  /** Ports that only Envoy may connect to. */
  readonly closed: readonly number[];
  /** The numbers of declared ports, by name. */
  readonly named: ReadonlyMap<string, readonly number[]>;
};

export type PolicyGap =
  | { readonly reason: 'no_network_policy'; readonly port: number | undefined }
  | { readonly reason: 'port_open'; readonly policy: string; readonly port: number };

/**
 * Why the policies of a pod's namespace don't close its ports; undefined if they do. A rule that opens a port
 * to some clients counts as open, because no client may bypass Envoy.
 */
export function policyGap(pod: SelectedPod, policies: readonly IngressPolicy[]): PolicyGap | undefined {
  const selecting = policies.filter(
    ({ spec }) => spec.policyTypes.includes('Ingress') && isSelected(pod.labels, spec.podSelector),
  );
  // Policies are additive. Without a policy, every port is open.
  if (selecting.length === 0) return { reason: 'no_network_policy', port: pod.closed[0] };
  for (const { name, spec } of selecting) {
    const port = pod.closed.find((one) => spec.ingress.some(({ ports }) => isOpened(one, ports, pod)));
    if (port !== undefined) return { reason: 'port_open', policy: name, port };
  }
  return undefined;
}

function isSelected(
  labels: Readonly<Record<string, string>>,
  { matchLabels, matchExpressions }: v.InferOutput<typeof selectorSchema>,
): boolean {
  const isMatched = ({ key, operator, values }: (typeof matchExpressions)[number]): boolean => {
    const value = labels[key];
    const isIn = value !== undefined && values.includes(value);
    switch (operator) {
      case 'In':
        return isIn;
      case 'NotIn':
        return !isIn;
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
    }
  };
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(isMatched)
  );
}

function isOpened(
  port: number,
  opened: readonly v.InferOutput<typeof portSchema>[],
  { named }: SelectedPod,
): boolean {
  if (opened.length === 0) return true;
  return opened.some(({ protocol, port: first, endPort }) => {
    if (protocol !== 'TCP') return false;
    if (first === undefined) return true;
    if (typeof first === 'string') return named.get(first)?.includes(port) === true;
    return port >= first && port <= (endPort ?? first);
  });
}
