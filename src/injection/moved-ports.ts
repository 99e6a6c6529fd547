import { isTcp, type Container, type ContainerPort, type Pod } from './pod.ts';
import type { ProtectedPort } from './pod-ports.ts';
import type { Rewritten } from './probe-rewriting.ts';

type OriginalPort = Rewritten['ports'][number];

/** A port whose name and host port move from the application's container to Envoy's. */
export type MovedPort = OriginalPort & { readonly envoyPort: number };

/** The named ports that proxy capture moves. Services that target them by name then send to Envoy. */
export function movedPorts({ spec }: Pod, ports: readonly ProtectedPort[]): MovedPort[] {
  const declared = [...(spec.initContainers ?? []), ...spec.containers].flatMap((container) =>
    (container.ports ?? []).map((port) => ({ container: container.name, port })),
  );
  return ports.flatMap(({ port, envoyPort }) =>
    declared
      .filter((one) => one.port.containerPort === port && isTcp(one.port))
      .flatMap(({ container, port: { name, hostPort } }) =>
        name === undefined
          ? []
          : [{ container, port, name, ...(hostPort !== undefined && { hostPort }), envoyPort }],
      ),
  );
}

/** The container without the names and host ports that were moved. */
export function withoutMoved(container: Container, moved: readonly MovedPort[]): Container {
  const mine = moved.filter((one) => one.container === container.name);
  if (mine.length === 0 || container.ports === undefined) return container;
  const isMoved = (port: ContainerPort): boolean =>
    isTcp(port) && mine.some((one) => one.port === port.containerPort);
  return { ...container, ports: container.ports.map((port) => (isMoved(port) ? nameless(port) : port)) };
}

function nameless({ name: _name, hostPort: _hostPort, ...rest }: ContainerPort): ContainerPort {
  return rest;
}

/** The container with its ports as they were before they were moved. */
export function withPortsRestored(container: Container, originals: readonly OriginalPort[]): Container {
  const mine = originals.filter((one) => one.container === container.name);
  if (mine.length === 0 || container.ports === undefined) return container;
  const ports = container.ports.map((port) => {
    const before = isTcp(port) ? mine.find((one) => one.port === port.containerPort) : undefined;
    return before === undefined || port.name !== undefined ? port : named(port, before);
  });
  return { ...container, ports };
}

const named = (port: ContainerPort, { name, hostPort }: OriginalPort): ContainerPort => ({
  ...port,
  name,
  ...(hostPort !== undefined && { hostPort }),
});
