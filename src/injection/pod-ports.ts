import { containerNames } from './names.ts';
import { isTcp, servingContainers, type Container, type ContainerPort, type Pod } from './pod.ts';
import type { PodSettings, PortName } from './pod-settings.ts';
import { refusePod, type PodRefusal } from './refusal.ts';

/** A port of the application that Envoy protects. */
export type ProtectedPort = {
  readonly port: number;
  /** Its declaration; undefined if no container declares it. */
  readonly declared: { readonly container: string; readonly name: string | undefined } | undefined;
  /** The port where Envoy listens for it. */
  readonly envoyPort: number;
};

export type PodPorts = {
  readonly kind: 'ports';
  readonly protected: readonly ProtectedPort[];
  readonly openTcp: readonly number[];
  readonly openUdp: readonly number[];
  /** The ports of our own listeners. */
  readonly own: { readonly probes: number; readonly authorizerAdmin: number; readonly envoyAdmin: number };
};

// Outside the ephemeral range (ip_local_port_range starts at 32768) and unassigned by IANA.
const ownPorts = Array.from({ length: 11 }, (_, index) => 19_000 + index);

type Declared = { readonly container: Container; readonly port: ContainerPort };

/** Chooses the ports of a pod that are protected, that stay open, and that our containers use. */
export function choosePorts(pod: Pod, settings: PodSettings): PodPorts | PodRefusal {
  const declared = servingContainers(pod).flatMap((container) =>
    (container.ports ?? []).map((port): Declared => ({ container, port })),
  );
  const open = resolveAll(settings.openPorts, declared, 'curfew/open-ports');
  if (open.kind === 'refused') return open;
  const openTcp = open.ports.filter(({ protocol }) => protocol === 'TCP').map(({ port }) => port);
  const wanted =
    settings.ports === undefined
      ? declaredTcp(declared, openTcp)
      : resolveAll(settings.ports, declared, 'curfew/ports');
  if (wanted.kind === 'refused') return wanted;
  const unfit = refusePorts(wanted.ports, openTcp, declared, settings);
  if (unfit !== undefined) return unfit;
  const openUdp = [
    ...open.ports.filter(({ protocol }) => protocol === 'UDP').map(({ port }) => port),
    ...declared.filter(({ port }) => port.protocol === 'UDP').map(({ port }) => port.containerPort),
  ];
  return assign(wanted.ports, declared, { openTcp, openUdp }, settings.capture === 'proxy');
}

type Resolved = { readonly port: number; readonly protocol: string };
type Resolution = { readonly kind: 'resolved'; readonly ports: readonly Resolved[] } | PodRefusal;

const declaredTcp = (declared: readonly Declared[], openTcp: readonly number[]): Resolution => ({
  kind: 'resolved',
  ports: unique(declared.filter(({ port }) => isTcp(port)).map(({ port }) => port.containerPort))
    .filter((port) => !openTcp.includes(port))
    .map((port) => ({ port, protocol: 'TCP' })),
});

function resolveAll(
  names: readonly PortName[],
  declared: readonly Declared[],
  annotation: string,
): Resolution {
  const ports: Resolved[] = [];
  for (const { text, protocol } of names) {
    const numbers = /^\d+$/.test(text)
      ? [Number(text)]
      : declared
          .filter(({ port }) => port.name === text && (port.protocol ?? 'TCP') === protocol)
          .map(({ port }) => port.containerPort);
    if (numbers.length === 0 || numbers.some((port) => port < 1 || port > 65_535)) {
      const known = declared.map(({ port }) => port.name ?? String(port.containerPort)).join(', ') || 'none';
      return refusePod(
        'unknown_port',
        `${annotation} names ${text}, which no container declares (declared: ${known})`,
      );
    }
    ports.push(...unique(numbers).map((port) => ({ port, protocol })));
  }
  return {
    kind: 'resolved',
    ports: ports.filter(
      (one, index) =>
        ports.findIndex((other) => other.port === one.port && other.protocol === one.protocol) === index,
    ),
  };
}

function refusePorts(
  wanted: readonly Resolved[],
  openTcp: readonly number[],
  declared: readonly Declared[],
  settings: PodSettings,
): PodRefusal | undefined {
  if (wanted.length === 0)
    return refusePod(
      'no_http_port',
      'no container declares a TCP port to protect; declare it under `ports`, or name it in the annotation curfew/ports',
    );
  const udp = wanted.find(({ protocol }) => protocol === 'UDP');
  if (udp !== undefined)
    return refusePod(
      'not_plain_http',
      `curfew/ports names ${udp.port}/udp; only HTTP over TCP can be authenticated`,
    );
  const both = wanted.find(({ port }) => openTcp.includes(port));
  if (both !== undefined)
    return refusePod(
      'invalid_annotation',
      `port ${both.port} is in curfew/ports and in curfew/open-ports; choose one`,
    );
  for (const { port } of wanted) {
    const evidence = evidenceOfOther(port, declared, settings);
    if (evidence === undefined) continue;
    return refusePod(
      'not_plain_http',
      `port ${port} ${evidence}; Envoy must read plain HTTP. Name the HTTP ports in curfew/ports, and in curfew/open-ports those that may stay without authentication`,
    );
  }
  return undefined;
}

// Common names of ports with other protocols than plain HTTP.
const otherProtocols =
  /^(?:https|tls|ssl|grpcs|grpc-tls|wss|tcp|udp|mysql|mariadb|postgres|postgresql|redis|mongo|mongodb|amqp|amqps|kafka|mqtt|nats|cql|ldap|ldaps|smtp|imap|ssh|ftp|dns|etcd|memcached|zookeeper)(?:-.*)?$/;
const tlsNumbers: ReadonlySet<number> = new Set([443, 6443, 8443, 9443]);
const probeSlots = ['livenessProbe', 'readinessProbe', 'startupProbe'] as const;

/**
 * Why a port is not plain HTTP; undefined if nothing says so. `curfew/ports` overrides the evidence of a name
 * or a number, but not that of an HTTPS probe.
 */
function evidenceOfOther(
  number: number,
  declared: readonly Declared[],
  { ports }: PodSettings,
): string | undefined {
  const declarations = declared.filter(({ port }) => port.containerPort === number && isTcp(port));
  for (const { container, port } of declarations) {
    const https = probeSlots
      .map((slot) => container[slot]?.httpGet)
      .find((probe) => probe?.scheme === 'HTTPS' && (probe.port === number || probe.port === port.name));
    if (https !== undefined) return `is probed by HTTPS in container ${container.name}`;
    if (ports !== undefined) continue;
    if (port.name !== undefined && otherProtocols.test(port.name)) return `is named ${port.name}`;
    if (port.name === undefined && tlsNumbers.has(number)) return 'is one where TLS is usual';
  }
  return undefined;
}

function assign(
  wanted: readonly Resolved[],
  declared: readonly Declared[],
  open: { readonly openTcp: readonly number[]; readonly openUdp: readonly number[] },
  isFixed: boolean,
): PodPorts | PodRefusal {
  const taken = new Set([
    ...declared.map(({ port }) => port.containerPort),
    ...wanted.map(({ port }) => port),
    ...open.openTcp,
  ]);
  // With fixed ports, a NetworkPolicy opens them; other ports would stay closed.
  const needed = ownPorts.slice(0, wanted.length + 3);
  const clash = isFixed ? needed.find((port) => taken.has(port)) : undefined;
  if (clash !== undefined)
    return refusePod(
      'reserved_port',
      `port ${clash} is one of Envoy's ${needed.join(', ')} with curfew/capture: proxy; let the application listen on another port`,
    );
  const free = isFixed ? needed : ownPorts.filter((port) => !taken.has(port));
  const [probes, authorizerAdmin, envoyAdmin, ...rest] = free;
  if (
    probes === undefined ||
    authorizerAdmin === undefined ||
    envoyAdmin === undefined ||
    rest.length < wanted.length
  ) {
    return refusePod(
      'too_many_ports',
      `${containerNames.envoy} has the ports from 19000 to 19010 and would need ${wanted.length + 3} of them; name fewer in curfew/ports, or leave that range free`,
    );
  }
  const assigned = wanted.map(({ port }, index): ProtectedPort => {
    const found = declared.find((one) => one.port.containerPort === port && isTcp(one.port));
    return {
      port,
      declared: found === undefined ? undefined : { container: found.container.name, name: found.port.name },
      envoyPort: rest[index] ?? 0,
    };
  });
  return {
    kind: 'ports',
    protected: assigned,
    openTcp: unique(open.openTcp),
    openUdp: unique(open.openUdp),
    own: { probes, authorizerAdmin, envoyAdmin },
  };
}

const unique = (numbers: readonly number[]): number[] => [...new Set(numbers)];
