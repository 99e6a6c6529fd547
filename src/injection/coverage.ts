import * as v from 'valibot';
import { containerNames, labels } from './names.ts';

/** A pod that asked to be protected, itself or by its namespace, and runs without the sidecars. */
export type UnprotectedPod = { readonly namespace: string; readonly pod: string };

const metadata = v.looseObject({
  name: v.string(),
  namespace: v.optional(v.string()),
  labels: v.optional(v.record(v.string(), v.string()), {}),
});

const listSchema = v.looseObject({
  items: v.array(
    v.variant('kind', [
      v.looseObject({ kind: v.literal('Namespace'), metadata }),
      v.looseObject({
        kind: v.literal('Pod'),
        metadata,
        spec: v.looseObject({
          initContainers: v.optional(
            v.array(v.looseObject({ name: v.string(), restartPolicy: v.optional(v.string()) })),
            [],
          ),
        }),
        status: v.optional(v.looseObject({ phase: v.optional(v.string()) }), {}),
      }),
    ]),
  ),
});

export type PodCoverage =
  | { readonly kind: 'coverage'; readonly wanted: number; readonly unprotected: readonly UnprotectedPod[] }
  | { readonly kind: 'malformed'; readonly message: string };

export type CoverageRules = {
  readonly excludeNamespaces: ReadonlySet<string>;
  /** `false`: a pod's own label does not count as a reason to be without. */
  readonly allowOptOut: boolean;
};

const isOn = (value: string | undefined): boolean => value === 'enabled' || value === 'true';
const isOff = (value: string | undefined): boolean => value === 'disabled' || value === 'false';

/**
 * Which running pods lack the sidecars they should have: those that ran before their namespace was labelled, mostly.
 * @param list what `kubectl get namespaces,pods --all-namespaces --output json` prints, parsed
 */
export function findUnprotectedPods(list: unknown, rules: CoverageRules): PodCoverage {
  const parsed = v.safeParse(listSchema, list);
  if (!parsed.success) return { kind: 'malformed', message: 'not a list of namespaces and pods' };
  const { items } = parsed.output;
  // A list of pods alone would make every one of them unlabelled.
  if (!items.some(({ kind }) => kind === 'Namespace'))
    return { kind: 'malformed', message: 'there is no namespace in the list' };
  const labelled = new Set(
    items
      .filter((item) => item.kind === 'Namespace' && isOn(item.metadata.labels[labels.inject]))
      .map((item) => item.metadata.name),
  );
  const isWanted = ({ namespace = '', labels: own }: (typeof items)[number]['metadata']): boolean => {
    if (rules.excludeNamespaces.has(namespace)) return false;
    if (rules.allowOptOut && isOff(own[labels.inject])) return false;
    return labelled.has(namespace) || isOn(own[labels.inject]);
  };
  const wanted = items
    .filter((item) => item.kind === 'Pod')
    .filter((pod) => pod.status.phase === 'Running' && isWanted(pod.metadata));
  const unprotected = wanted
    .filter(({ spec }) => !hasSidecars(spec.initContainers))
    .map(({ metadata: { namespace = '', name } }) => ({ namespace, pod: name }));
  return { kind: 'coverage', wanted: wanted.length, unprotected };
}

const hasSidecars = (
  containers: readonly { readonly name: string; readonly restartPolicy?: string | undefined }[],
): boolean =>
  [containerNames.authorizer, containerNames.envoy].every((name) =>
    containers.some((one) => one.name === name && one.restartPolicy === 'Always'),
  );
