import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Container as Spec, Pod } from '../../src/injection/pod.ts';
import { lastingDirectory } from '../temporary.ts';
import { nodeImage, statusOf } from './docker.ts';
import type { Container, Laboratory, RunOptions } from './laboratory.ts';
import { eventually } from '../processes.ts';

/** What a container says of itself that we act on, as Kubernetes writes it. */
type Extra = {
  command?: string[];
  args?: string[];
  env?: { name: string; value?: string; valueFrom?: { fieldRef: { fieldPath: string } } }[];
  securityContext?: { runAsUser?: number; runAsGroup?: number; capabilities?: { add?: string[] } };
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[];
};

type Volume = {
  name: string;
  emptyDir?: object;
  downwardAPI?: { items: { path: string; fieldRef: { fieldPath: string } }[] };
  secret?: { secretName: string };
};

export type RunningPod = {
  readonly ipv4: string;
  readonly ipv6: string;
  /** Its containers, by name. */
  container(name: string): Container;
};

export type PodOptions = {
  readonly network: string;
  /** Files of each Secret; one that isn't named here is missing. */
  readonly secrets?: Readonly<Record<string, Readonly<Record<string, string>>>>;
};

/**
 * Runs a pod's containers as kubelet would: one network for all, init containers in order, a sidecar's
 * startup probe before the next one.
 */
export async function runPod(laboratory: Laboratory, pod: Pod, options: PodOptions): Promise<RunningPod> {
  const containers = new Map<string, Container>();
  const pause = await laboratory.start({
    name: 'pause',
    image: nodeImage,
    args: ['node', '-e', 'setInterval(() => {}, 1e9)'],
    network: options.network,
  });
  const { ipv4, ipv6 } = await pause.addresses();
  const volumes = await makeVolumes(laboratory, pod, options);
  const asRun = (spec: Spec): RunOptions => runOptions(spec, pause.name, volumes, ipv4);
  for (const spec of pod.spec.initContainers ?? []) {
    if (spec.restartPolicy !== 'Always') {
      await laboratory.once(asRun(spec));
      continue;
    }
    const sidecar = await laboratory.start(asRun(spec));
    containers.set(spec.name, sidecar);
    const { path = '', port = 0 } = spec.startupProbe?.httpGet ?? {};
    await sidecar.answers(`http://${ipv4}:${port}${path}`);
  }
  for (const spec of pod.spec.containers) containers.set(spec.name, await laboratory.start(asRun(spec)));
  await Promise.all(
    [...(pod.spec.initContainers ?? []), ...pod.spec.containers].map((spec) => untilReady(spec, ipv4)),
  );
  return {
    ipv4,
    ipv6,
    container: (name) => {
      const found = containers.get(name);
      if (found === undefined) throw new Error(`no container ${name}`);
      return found;
    },
  };
}

async function untilReady(spec: Spec, ipv4: string): Promise<void> {
  const probe = spec.readinessProbe?.httpGet;
  if (probe === undefined) return;
  const url = `http://${ipv4}:${probe.port}${probe.path ?? '/'}`;
  await eventually(
    `${spec.name} is ready`,
    async () => ((await statusOf(url)) === 200 ? true : undefined),
    20_000,
  );
}

async function makeVolumes(
  laboratory: Laboratory,
  pod: Pod,
  { secrets = {} }: PodOptions,
): Promise<Map<string, string>> {
  const sources = new Map<string, string>();
  for (const volume of (pod.spec.volumes ?? []) as Volume[]) {
    if (volume.emptyDir !== undefined) {
      sources.set(volume.name, await laboratory.memoryVolume(volume.name, 'mode=0777'));
      continue;
    }
    const folder = lastingDirectory();
    chmodSync(folder, 0o755);
    for (const [name, text] of Object.entries(secrets[volume.secret?.secretName ?? ''] ?? {}))
      writeFileSync(join(folder, name), text);
    for (const { path, fieldRef } of volume.downwardAPI?.items ?? []) {
      const annotation = /annotations\['(.+)'\]/.exec(fieldRef.fieldPath)?.[1] ?? '';
      writeFileSync(join(folder, path), pod.metadata.annotations?.[annotation] ?? '');
    }
    sources.set(volume.name, folder);
  }
  return sources;
}

function runOptions(spec: Spec, pause: string, volumes: Map<string, string>, podIp: string): RunOptions {
  const { command = [], args = [], env = [], securityContext = {}, volumeMounts = [] } = spec as Spec & Extra;
  const values = Object.fromEntries(
    env.map(({ name, value, valueFrom }) => [name, valueFrom === undefined ? (value ?? '') : podIp]),
  );
  // kubelet: `$(NAME)` is replaced, `$$` is a dollar sign.
  const expand = (text: string): string =>
    text.replaceAll(/\$\$|\$\((\w+)\)/g, (found, name: string) =>
      found === '$$' ? '$' : (values[name] ?? found),
    );
  const [entrypoint, ...rest] = command;
  return {
    name: spec.name,
    image: spec.image ?? '',
    network: `container:${pause}`,
    ...(entrypoint !== undefined && { entrypoint }),
    args: [...rest, ...args].map(expand),
    env: values,
    ...(securityContext.runAsUser !== undefined && {
      user: `${securityContext.runAsUser}:${securityContext.runAsGroup ?? 0}`,
    }),
    capabilities: securityContext.capabilities?.add ?? [],
    mounts: volumeMounts.map(({ name, mountPath, readOnly }) => ({
      source: volumes.get(name) ?? name,
      target: String(mountPath),
      mode: readOnly === true ? 'ro' : 'rw',
    })),
  };
}
