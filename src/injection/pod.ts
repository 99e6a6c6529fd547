import * as v from 'valibot';

const portReference = v.union([v.string(), v.number()]);

const httpGet = v.looseObject({
  path: v.optional(v.string()),
  port: portReference,
  /** If it is set, kubelet sends the probe to that host instead of the pod. */
  host: v.optional(v.string()),
  scheme: v.optional(v.string()),
  httpHeaders: v.optional(v.array(v.looseObject({ name: v.string(), value: v.optional(v.string()) }))),
});

const actions = {
  httpGet: v.optional(httpGet),
  tcpSocket: v.optional(v.looseObject({ port: portReference, host: v.optional(v.string()) })),
  grpc: v.optional(v.looseObject({ port: v.number(), service: v.optional(v.string()) })),
};

/** The action of a handler: one of these. */
export const handlerActionSchema = v.looseObject(actions);

const handler = v.looseObject({ ...actions, timeoutSeconds: v.optional(v.number()) });

const amounts = v.optional(v.record(v.string(), v.string()));
/** Requests and limits, of a container or of a pod. */
export const resourcesSchema = v.looseObject({ requests: amounts, limits: amounts });

const container = v.looseObject({
  name: v.string(),
  image: v.optional(v.string()),
  /** `Always` makes an init container a sidecar. */
  restartPolicy: v.optional(v.string()),
  ports: v.optional(
    v.array(
      v.looseObject({
        name: v.optional(v.string()),
        containerPort: v.number(),
        hostPort: v.optional(v.number()),
        protocol: v.optional(v.string()),
      }),
    ),
  ),
  livenessProbe: v.optional(handler),
  readinessProbe: v.optional(handler),
  startupProbe: v.optional(handler),
  lifecycle: v.optional(v.looseObject({ postStart: v.optional(handler), preStop: v.optional(handler) })),
  volumeMounts: v.optional(v.array(v.looseObject({ name: v.string() }))),
  resources: v.optional(resourcesSchema),
});

const texts = v.record(v.string(), v.string());

/** The members of a pod that concern us. Unknown members are kept. */
export const podSchema = v.looseObject({
  metadata: v.optional(
    v.looseObject({
      name: v.optional(v.string()),
      generateName: v.optional(v.string()),
      labels: v.optional(texts),
      annotations: v.optional(texts),
    }),
    {},
  ),
  spec: v.looseObject({
    containers: v.pipe(v.array(container), v.maxLength(256)),
    initContainers: v.optional(v.pipe(v.array(container), v.maxLength(256))),
    volumes: v.optional(v.pipe(v.array(v.looseObject({ name: v.string() })), v.maxLength(1024))),
    hostNetwork: v.optional(v.boolean()),
    os: v.optional(v.looseObject({ name: v.optional(v.string()) })),
    nodeSelector: v.optional(texts),
    /** Kubernetes 1.34: the resources of all containers together. */
    resources: v.optional(resourcesSchema),
  }),
});

export type Pod = v.InferOutput<typeof podSchema>;
export type Container = Pod['spec']['containers'][number];
export type ContainerPort = NonNullable<Container['ports']>[number];
export type Handler = v.InferOutput<typeof handler>;

/** The containers that run as long as the pod does, and so may listen on ports. */
export const servingContainers = ({ spec }: Pod): readonly Container[] => [
  ...(spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always'),
  ...spec.containers,
];

export const isTcp = ({ protocol }: ContainerPort): boolean => (protocol ?? 'TCP') === 'TCP';

/** The number of a port. A name is looked up in the same container, as kubelet does. */
export function resolvePort(reference: string | number, { ports = [] }: Container): number | undefined {
  if (typeof reference === 'number') return reference;
  return ports.find(({ name }) => name === reference)?.containerPort;
}
