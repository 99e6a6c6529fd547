import { envoyReadyPath } from './envoy-probes.ts';
import { annotations, containerNames, secretVolumePrefix, volumeNames } from './names.ts';
import type { Container, Handler } from './pod.ts';
import type { PodPorts } from './pod-ports.ts';
import type { PodSettings, ResourceRequirements } from './pod-settings.ts';
import { redirectRules } from './redirect-rules.ts';

// Envoy and the authorizer are different users of one group, so that only they can open the socket between
// them.
const group = 65_530;
const users = { envoy: 65_531, authorizer: 65_532 };

const socketDirectory = '/run/curfew';
const configDirectory = '/etc/curfew/config';
const configFile = 'authorizer.yaml';

export const socketPath = `${socketDirectory}/authorizer.sock`;

/** A Secret of the pod's namespace. If it exists, it is mounted into the authorizer. */
export type SecretMount = { readonly secret: string; readonly path: string };

export type SidecarOptions = {
  readonly images: { readonly authorizer: string; readonly envoy: string; readonly redirect: string };
  readonly imagePullPolicy: string;
  readonly resources: {
    readonly authorizer: ResourceRequirements;
    readonly envoy: ResourceRequirements;
    readonly redirect: ResourceRequirements;
  };
  readonly secretMounts: readonly SecretMount[];
  /** Maximum size of V8's old generation; MiB. */
  readonly authorizerHeapMb: number;
  readonly envoyConcurrency: number;
  readonly envoyLogLevel: string;
};

// Pod Security, level restricted.
const restricted = (user: number): object => ({
  runAsUser: user,
  runAsGroup: group,
  runAsNonRoot: true,
  readOnlyRootFilesystem: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
});

/** The init container that sets the rules of redirect capture before any other container runs. */
export function redirectContainer(
  settings: PodSettings,
  ports: PodPorts,
  options: SidecarOptions,
): Container {
  return {
    name: containerNames.redirect,
    image: options.images.redirect,
    imagePullPolicy: options.imagePullPolicy,
    command: ['nft'],
    args: [redirectRules(ports)],
    resources: settings.resources.redirect ?? options.resources.redirect,
    securityContext: {
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
  };
}

type Timing = { readonly startup: string; readonly ready: string; readonly readyEverySeconds: number };

/** A container has one minute to start. After that, its liveness is probed every ten seconds. */
function probes(port: number, { startup, ready, readyEverySeconds }: Timing): Partial<Container> {
  const ask = (path: string): Pick<Handler, 'httpGet'> => ({ httpGet: { path, port, scheme: 'HTTP' } });
  return {
    startupProbe: { ...ask(startup), periodSeconds: 1, failureThreshold: 60, timeoutSeconds: 2 },
    readinessProbe: {
      ...ask(ready),
      periodSeconds: readyEverySeconds,
      failureThreshold: 3,
      timeoutSeconds: 2,
    },
    livenessProbe: { ...ask(startup), periodSeconds: 10, failureThreshold: 3, timeoutSeconds: 5 },
  };
}

export function authorizerContainer(
  settings: PodSettings,
  ports: PodPorts,
  options: SidecarOptions,
): Container {
  const admin = ports.own.authorizerAdmin;
  return {
    name: containerNames.authorizer,
    image: options.images.authorizer,
    imagePullPolicy: options.imagePullPolicy,
    restartPolicy: 'Always',
    args: ['--config', `${configDirectory}/${configFile}`],
    env: [{ name: 'NODE_OPTIONS', value: `--max-old-space-size=${options.authorizerHeapMb}` }],
    ports: [{ name: 'curfew-metrics', containerPort: admin, protocol: 'TCP' }],
    // It has started when it listens. It is ready when its view of the revocations is complete.
    ...probes(admin, { startup: '/livez', ready: '/readyz', readyEverySeconds: 2 }),
    resources: settings.resources.authorizer ?? options.resources.authorizer,
    securityContext: restricted(users.authorizer),
    volumeMounts: [
      { name: volumeNames.socket, mountPath: socketDirectory },
      { name: volumeNames.config, mountPath: configDirectory, readOnly: true },
      ...options.secretMounts.map(({ secret, path }) => ({
        name: secretVolumePrefix + secret,
        mountPath: path,
        readOnly: true,
      })),
    ],
  };
}

export type EnvoyContainerOptions = SidecarOptions & {
  /** The path by which kubelet notifies Envoy that the pod is stopping. */
  readonly drainPath: string;
  /** Envoy's configuration, as a container argument. */
  readonly bootstrap: string;
  /** The named ports that Envoy takes over from the application. */
  readonly namedPorts: readonly {
    readonly name: string;
    readonly port: number;
    readonly hostPort?: number | undefined;
  }[];
};

export function envoyContainer(
  settings: PodSettings,
  ports: PodPorts,
  options: EnvoyContainerOptions,
): Container {
  const { own } = ports;
  return {
    name: containerNames.envoy,
    image: options.images.envoy,
    imagePullPolicy: options.imagePullPolicy,
    restartPolicy: 'Always',
    command: ['envoy'],
    args: [
      '--config-yaml',
      options.bootstrap,
      '--concurrency',
      String(options.envoyConcurrency),
      '--disable-hot-restart',
      '--log-level',
      options.envoyLogLevel,
    ],
    env: [{ name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
    ports: [
      ...options.namedPorts.map(({ name, port, hostPort }) => ({
        name,
        containerPort: port,
        protocol: 'TCP',
        ...(hostPort !== undefined && { hostPort }),
      })),
      { name: 'curfew-probes', containerPort: own.probes, protocol: 'TCP' },
    ],
    ...probes(own.probes, { startup: envoyReadyPath, ready: envoyReadyPath, readyEverySeconds: 5 }),
    lifecycle: { preStop: { httpGet: { path: options.drainPath, port: own.probes, scheme: 'HTTP' } } },
    resources: settings.resources.envoy ?? options.resources.envoy,
    securityContext: restricted(users.envoy),
    volumeMounts: [{ name: volumeNames.socket, mountPath: socketDirectory, readOnly: true }],
  };
}

/**
 * The volumes of the two sidecars. A missing Secret doesn't keep the pod from starting; `/readyz` shows its
 * effect.
 */
export const sidecarVolumes = ({
  secretMounts,
}: SidecarOptions): { name: string; [key: string]: unknown }[] => [
  { name: volumeNames.socket, emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
  {
    name: volumeNames.config,
    downwardAPI: {
      items: [
        {
          path: configFile,
          fieldRef: { fieldPath: `metadata.annotations['${annotations.authorizerConfig}']` },
        },
      ],
    },
  },
  ...secretMounts.map(({ secret }) => ({
    name: secretVolumePrefix + secret,
    // Only the authorizer's container mounts it, and it doesn't run as root.
    secret: { secretName: secret, optional: true, defaultMode: 0o444 },
  })),
];
