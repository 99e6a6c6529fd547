import type { Container, Pod } from './pod.ts';

const probeSlots = ['startupProbe', 'readinessProbe', 'livenessProbe'] as const;

/**
 * A container of ours as other admission steps left it: limits of a LimitRange, an image of a mirror, a pull policy,
 * variables, mounts. What it runs, and what follows from the rest of the pod, is ours.
 * @param made as we make it now
 * @param found as it is in a pod that we made it for earlier in the same admission
 */
export function keepChanges(made: Container, found: Container | undefined): Container {
  if (found === undefined) return made;
  const { command: _command, args: _args, ports: _ports, restartPolicy: _restart, ...kept } = found;
  return {
    ...made,
    ...kept,
    ...Object.fromEntries(
      probeSlots.flatMap((slot) => {
        const probe = made[slot];
        return probe === undefined ? [] : [[slot, { ...probe, ...found[slot], httpGet: probe.httpGet }]];
      }),
    ),
    ...(made.lifecycle !== undefined && { lifecycle: { ...found.lifecycle, ...made.lifecycle } }),
    ...merged('env', 'name', made, found),
    ...merged('volumeMounts', 'mountPath', made, found),
  };
}

/** Our volumes, each as the pod has it. */
export const keepVolumes = (
  made: NonNullable<Pod['spec']['volumes']>,
  found: Pod['spec']['volumes'],
): NonNullable<Pod['spec']['volumes']> =>
  made.map((one) => found?.find(({ name }) => name === one.name) ?? one);

type Entry = Readonly<Record<string, unknown>>;

/** What the container has, and what it lacks of ours. */
function merged(member: 'env' | 'volumeMounts', key: string, made: Container, found: Container): object {
  const ours = (made[member] ?? []) as readonly Entry[];
  const theirs = (found[member] ?? []) as readonly Entry[];
  if (ours.length === 0) return {};
  const missing = ours.filter((one) => !theirs.some((other) => other[key] === one[key]));
  return { [member]: [...theirs, ...missing] };
}
