import type { Container, Pod } from './pod.ts';

const probeSlots = ['startupProbe', 'readinessProbe', 'livenessProbe'] as const;

/**
 * Our container with the changes that other admission steps made to it: limits of a LimitRange, the image of
 * a mirror, a pull policy, variables, mounts. What the container runs, and what follows from the rest of the
 * pod, stays as we made it.
 * @param made the container as we would add it now
 * @param found the container in the pod, added by an earlier call in the same admission
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

/** Our volumes, with the changes that other admission steps made to them. */
export const keepVolumes = (
  made: NonNullable<Pod['spec']['volumes']>,
  found: Pod['spec']['volumes'],
): NonNullable<Pod['spec']['volumes']> =>
  made.map((one) => found?.find(({ name }) => name === one.name) ?? one);

type Entry = Readonly<Record<string, unknown>>;

/** The entries of the container in the pod, and those of ours that it lacks. */
function merged(member: 'env' | 'volumeMounts', key: string, made: Container, found: Container): object {
  const ours = (made[member] ?? []) as readonly Entry[];
  const theirs = (found[member] ?? []) as readonly Entry[];
  if (ours.length === 0) return {};
  const missing = ours.filter((one) => !theirs.some((other) => other[key] === one[key]));
  return { [member]: [...theirs, ...missing] };
}
