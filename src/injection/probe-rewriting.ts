import * as v from 'valibot';
import { annotations } from './names.ts';
import {
  handlerActionSchema,
  resolvePort,
  resourcesSchema,
  type Container,
  type Handler,
  type Pod,
} from './pod.ts';

/** The handlers of a container that kubelet calls from outside the pod. */
export const handlerSlots = [
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'postStart',
  'preStop',
] as const;
export type HandlerSlot = (typeof handlerSlots)[number];

/** What Envoy does when kubelet requests the path. */
export type ProbeTarget =
  | {
      readonly kind: 'http';
      readonly path: string;
      readonly port: number;
      readonly scheme: 'HTTP' | 'HTTPS';
      /** Path and query at the application. */
      readonly toPath: string;
    }
  | { readonly kind: 'tcp'; readonly path: string; readonly port: number; readonly timeoutMs: number }
  | {
      readonly kind: 'grpc';
      readonly path: string;
      readonly port: number;
      readonly service: string;
      readonly timeoutMs: number;
    };

const rewrittenSchema = v.object({
  probes: v.pipe(
    v.array(
      v.object({
        container: v.string(),
        slot: v.picklist(handlerSlots),
        path: v.string(),
        action: handlerActionSchema,
      }),
    ),
    v.maxLength(1024),
  ),
  ports: v.pipe(
    v.array(
      v.object({
        container: v.string(),
        port: v.number(),
        name: v.string(),
        hostPort: v.optional(v.number()),
      }),
    ),
    v.maxLength(64),
  ),
  resources: v.optional(v.object({ before: resourcesSchema, after: resourcesSchema })),
});

/** What an admission changed in the author's part of the pod, so that the next admission can restore it. */
export type Rewritten = v.InferOutput<typeof rewrittenSchema>;
export type RewrittenProbe = Rewritten['probes'][number];

/** Reads the annotation of an earlier admission. Empty if the pod has no such annotation, or if it is malformed. */
export function readRewritten({ metadata }: Pod): Rewritten {
  const text = metadata.annotations?.[annotations.rewritten];
  if (text === undefined) return { probes: [], ports: [] };
  try {
    return v.parse(rewrittenSchema, JSON.parse(text));
  } catch {
    return { probes: [], ports: [] };
  }
}

export function handlerAt(container: Container, slot: HandlerSlot): Handler | undefined {
  if (slot === 'postStart' || slot === 'preStop') return container.lifecycle?.[slot];
  return container[slot];
}

export function withHandler(container: Container, slot: HandlerSlot, handler: Handler): Container {
  if (slot === 'postStart' || slot === 'preStop')
    return { ...container, lifecycle: { ...container.lifecycle, [slot]: handler } };
  return { ...container, [slot]: handler };
}

export type RewritingOptions = {
  readonly probePort: number;
  /** Ports that stay open. Their probes are not rewritten. */
  readonly openTcp: readonly number[];
  /** The probes of an earlier admission, which keep their paths. */
  readonly earlier: readonly RewrittenProbe[];
  /** An unguessable path segment. */
  newPath(): string;
};

export type RewrittenContainer = {
  readonly container: Container;
  readonly targets: readonly ProbeTarget[];
  readonly rewritten: readonly RewrittenProbe[];
};

/**
 * Turns a container's httpGet, tcpSocket and grpc handlers into requests to Envoy's probe port, each with its
 * own path. Envoy then does what kubelet would have done. The application's own path still requires a token
 * from everybody else.
 */
export function rewriteProbes(original: Container, options: RewritingOptions): RewrittenContainer {
  let container = original;
  const targets: ProbeTarget[] = [];
  const rewritten: RewrittenProbe[] = [];
  for (const slot of handlerSlots) {
    const handler = handlerAt(original, slot);
    if (handler === undefined) continue;
    const { httpGet, tcpSocket, grpc, ...rest } = handler;
    const kept = options.earlier.find((one) => one.container === original.name && one.slot === slot);
    const target = toTarget(handler, original, kept?.path ?? `/${options.newPath()}`);
    if (target === undefined || options.openTcp.includes(target.port)) continue;
    targets.push(target);
    rewritten.push({
      container: original.name,
      slot,
      path: target.path,
      action: { ...(httpGet && { httpGet }), ...(tcpSocket && { tcpSocket }), ...(grpc && { grpc }) },
    });
    const headers = httpGet?.httpHeaders;
    container = withHandler(container, slot, {
      ...rest,
      httpGet: {
        path: target.path,
        port: options.probePort,
        scheme: 'HTTP',
        ...(headers !== undefined && { httpHeaders: headers }),
      },
    });
  }
  return { container, targets, rewritten };
}

// Undefined if the handler has a `host`: kubelet then sends the probe to that host instead of the pod.
function toTarget(handler: Handler, container: Container, path: string): ProbeTarget | undefined {
  const { httpGet, tcpSocket, grpc } = handler;
  // The default of Kubernetes is one second.
  const timeoutMs = (handler.timeoutSeconds ?? 1) * 1000;
  if (grpc !== undefined)
    return { kind: 'grpc', path, port: grpc.port, service: grpc.service ?? '', timeoutMs };
  if (tcpSocket !== undefined) {
    const port = resolvePort(tcpSocket.port, container);
    return port === undefined || isSet(tcpSocket.host) ? undefined : { kind: 'tcp', path, port, timeoutMs };
  }
  if (httpGet === undefined || isSet(httpGet.host)) return undefined;
  const port = resolvePort(httpGet.port, container);
  if (port === undefined) return undefined;
  const toPath = httpGet.path ?? '/';
  return {
    kind: 'http',
    path,
    port,
    scheme: httpGet.scheme === 'HTTPS' ? 'HTTPS' : 'HTTP',
    toPath: toPath.startsWith('/') ? toPath : `/${toPath}`,
  };
}

const isSet = (host: string | undefined): boolean => host !== undefined && host !== '';
