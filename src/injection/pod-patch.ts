import { isDeepStrictEqual } from 'node:util';
import type { PatchOperation } from './admission-review.ts';
import { envoyBootstrap, type BootstrapOptions } from './envoy-bootstrap.ts';
import { keepChanges, keepVolumes } from './kept-changes.ts';
import { movedPorts, withoutMoved, type MovedPort } from './moved-ports.ts';
import { annotations, containerNames, labels } from './names.ts';
import type { Container, Pod } from './pod.ts';
import type { PodPorts } from './pod-ports.ts';
import { enlarged, isPart } from './pod-resources.ts';
import type { PodSettings } from './pod-settings.ts';
import { rewriteProbes, type ProbeTarget, type Rewritten, type RewrittenProbe } from './probe-rewriting.ts';
import {
  authorizerContainer,
  envoyContainer,
  redirectContainer,
  sidecarVolumes,
  socketPath,
  type SidecarOptions,
} from './sidecars.ts';

export type PatchOptions = SidecarOptions &
  Omit<BootstrapOptions, 'authorizer' | 'drainPath'> & {
    /** The authorizer's configuration without `listen` and `admin`, which are ours. */
    readonly authorizerSettings: Readonly<Record<string, unknown>>;
    /** An unguessable path segment. */
    newPath(): string;
  };

/** The decisions about the injection of a pod. */
export type InjectionPlan = {
  readonly settings: PodSettings;
  readonly ports: PodPorts;
  /** What an earlier admission rewrote. Its probes keep their paths. */
  readonly earlier: Rewritten;
  /**
   * The pod after an earlier call in the same admission and the steps after it. Their changes to our parts
   * are kept.
   */
  readonly found?: Pod | undefined;
};

/**
 * The pod with our sidecars.
 * @param original the result of `withoutInjection`
 * @throws ERR_CONFIG_INVALID for public paths that Envoy would not match as they are written
 */
export function inject(original: Pod, plan: InjectionPlan, options: PatchOptions): Pod {
  const { spec } = original;
  const { settings, ports, found } = plan;
  const earlier = plan.earlier.probes;
  const rewriting = {
    probePort: ports.own.probes,
    openTcp: ports.openTcp,
    earlier,
    newPath: options.newPath,
  };
  const containers = spec.containers.map((container) => rewriteProbes(container, rewriting));
  const initContainers = (spec.initContainers ?? []).map((container) => rewriteProbes(container, rewriting));
  const all = [...containers, ...initContainers];
  const moved = settings.capture === 'proxy' ? movedPorts(original, ports.protected) : [];
  const withoutPorts = ({ container }: { container: Container }): Container => withoutMoved(container, moved);
  const targets = all.flatMap((one) => one.targets);
  const drain = drainHook(earlier, options);
  const ours = ourContainers(plan, { targets, moved, drainPath: drain.path }, options).map((made) =>
    keepChanges(
      made,
      found?.spec.initContainers?.find(({ name }) => name === made.name),
    ),
  );
  const resources = podResources(original, plan, ours);
  const rewritten: Rewritten = {
    probes: [...all.flatMap((one) => one.rewritten), drain],
    ports: moved.map(({ container, port, name, hostPort }) => ({ container, port, name, hostPort })),
    ...(resources !== undefined && { resources }),
  };
  return {
    ...original,
    metadata: metadataWithOurs(original, plan, rewritten, options),
    spec: {
      ...spec,
      initContainers: [...ours, ...initContainers.map(withoutPorts)],
      containers: containers.map(withoutPorts),
      volumes: [...(spec.volumes ?? []), ...keepVolumes(sidecarVolumes(options), found?.spec.volumes)],
      ...(resources !== undefined && resources !== plan.earlier.resources && { resources: resources.after }),
    },
  };
}

/**
 * The pod's own resources, enlarged for our containers. If another step changed them after that, the change
 * stays.
 */
function podResources(
  { spec }: Pod,
  { earlier, found }: InjectionPlan,
  ours: readonly Container[],
): Rewritten['resources'] {
  const made = earlier.resources;
  const isChanged = found !== undefined && made !== undefined && !isPart(made.after, found.spec.resources);
  return isChanged ? made : enlarged(spec.resources, ours);
}

/** The preStop hook. It is recorded like a rewritten probe, so that another admission keeps its path. */
function drainHook(earlier: readonly RewrittenProbe[], { newPath }: PatchOptions): RewrittenProbe {
  const hook = { container: containerNames.envoy, slot: 'preStop' } as const;
  const kept = earlier.find((one) => one.container === hook.container && one.slot === hook.slot);
  return { ...hook, path: kept?.path ?? `/${newPath()}`, action: {} };
}

type Arrangement = {
  readonly targets: readonly ProbeTarget[];
  readonly moved: readonly MovedPort[];
  readonly drainPath: string;
};

/** Our containers in the order of their start. They stop in reverse order, after the application. */
function ourContainers(
  { settings, ports }: InjectionPlan,
  { targets, moved, drainPath }: Arrangement,
  options: PatchOptions,
): Container[] {
  const authorizer = { kind: 'unix', path: socketPath } as const;
  return [
    ...(settings.capture === 'redirect' ? [redirectContainer(settings, ports, options)] : []),
    authorizerContainer(settings, ports, options),
    envoyContainer(settings, ports, {
      ...options,
      drainPath,
      bootstrap: envoyBootstrap(settings, ports, targets, { ...options, authorizer, drainPath }),
      namedPorts: moved.map(({ name, envoyPort, hostPort }) => ({ name, port: envoyPort, hostPort })),
    }),
  ];
}

function metadataWithOurs(
  { metadata }: Pod,
  { settings, ports }: InjectionPlan,
  rewritten: Rewritten,
  { authorizerSettings }: PatchOptions,
): Pod['metadata'] {
  const listeners = { listen: `unix://${socketPath}`, admin: `:${ports.own.authorizerAdmin}` };
  return {
    ...metadata,
    labels: {
      ...metadata.labels,
      [labels.injected]: settings.capture,
      ...(settings.capture === 'proxy' && { [labels.proxiedPorts]: String(ports.protected.length) }),
    },
    annotations: {
      ...metadata.annotations,
      [annotations.authorizerConfig]: JSON.stringify({ ...listeners, ...authorizerSettings }),
      [annotations.rewritten]: JSON.stringify(rewritten),
    },
  };
}

/**
 * The operations that turn `before` into `after`. They replace whole members, so they apply whatever those
 * contain.
 */
export function patchBetween(before: Pod, after: Pod): PatchOperation[] {
  return [
    ...memberPatch('/metadata', before.metadata, after.metadata, ['labels', 'annotations']),
    ...memberPatch('/spec', before.spec, after.spec, [
      'initContainers',
      'containers',
      'volumes',
      'resources',
    ]),
  ];
}

function memberPatch(
  path: string,
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
  members: readonly string[],
): PatchOperation[] {
  return members
    .filter((member) => !isDeepStrictEqual(before[member], after[member]))
    .map((member): PatchOperation => ({ op: 'add', path: `${path}/${member}`, value: after[member] }));
}
