import { withPortsRestored } from './moved-ports.ts';
import { annotations, isOurContainer, isOurVolume, labels } from './names.ts';
import type { Container, Pod } from './pod.ts';
import { isPart } from './pod-resources.ts';
import { handlerAt, readRewritten, withHandler, type RewrittenProbe } from './probe-rewriting.ts';

/**
 * The pod as its author sent it, without what an earlier admission added, moved or rewrote. If the author
 * imitated an earlier admission, the imitation is removed.
 */
export function withoutInjection(pod: Pod): Pod {
  const { spec, metadata } = pod;
  const { probes, ports, resources } = readRewritten(pod);
  const restored = (container: Container): Container =>
    withPortsRestored(withProbesRestored(container, probes), ports);
  return {
    ...pod,
    metadata: {
      ...metadata,
      ...(metadata.annotations !== undefined && {
        annotations: without(metadata.annotations, [annotations.authorizerConfig, annotations.rewritten]),
      }),
      ...(metadata.labels !== undefined && {
        labels: without(metadata.labels, [labels.injected, labels.proxiedPorts]),
      }),
    },
    spec: {
      ...spec,
      containers: spec.containers.map(restored),
      ...(spec.initContainers !== undefined && {
        initContainers: spec.initContainers.filter(({ name }) => !isOurContainer(name)).map(restored),
      }),
      // Restored only if nobody has changed them since.
      ...(resources !== undefined &&
        isPart(resources.after, spec.resources) && { resources: resources.before }),
      ...(spec.volumes !== undefined && { volumes: spec.volumes.filter(({ name }) => !isOurVolume(name)) }),
    },
  };
}

// A handler is restored only if nobody has changed it since.
function withProbesRestored(container: Container, probes: readonly RewrittenProbe[]): Container {
  let restored = container;
  for (const { slot, path, action } of probes.filter((probe) => probe.container === container.name)) {
    const current = handlerAt(container, slot);
    if (current?.httpGet?.path !== path) continue;
    const { httpGet: _httpGet, ...rest } = current;
    restored = withHandler(restored, slot, { ...rest, ...action });
  }
  return restored;
}

const without = (texts: Record<string, string>, names: readonly string[]): Record<string, string> =>
  Object.fromEntries(Object.entries(texts).filter(([name]) => !names.includes(name)));
