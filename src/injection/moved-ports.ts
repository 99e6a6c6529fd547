import { isTcp, type Container, type ContainerPort, type Pod } from './pod.ts';
import type { ProtectedPort } from './pod-ports.ts';
import type { Rewritten } from './probe-rewriting.ts';

type Remembered = Rewritten['ports'][number];

/** A port whose name, and host port, went from the application to Envoy. */
export type MovedPort = Remembered & { readonly envoyPort: number };

/** The named ports that proxy capture moves, so that Services which target them by name follow. */
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

/** The container without what was moved. */
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
export function withPortsRestored(container: Container, remembered: readonly Remembered[]): Container {
  const mine = remembered.filter((one) => one.container === container.name);
  if (mine.length === 0 || container.ports === undefined) return container;
  const ports = container.ports.map((port) => {
    const before = isTcp(port) ? mine.find((one) => one.port === port.containerPort) : undefined;
    return before === undefined || port.name !== undefined ? port : named(port, before);
  });
  return { ...container, ports };
}

const named = (port: ContainerPort, { name, hostPort }: Remembered): ContainerPort => ({
  ...port,
  name,
  ...(hostPort !== undefined && { hostPort }),
});
