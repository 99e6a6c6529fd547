/** What we call our parts of a pod. Nothing else in a pod may use these names. */
export const containerNames = {
  redirect: 'curfew-redirect',
  authorizer: 'curfew-authorizer',
  envoy: 'curfew-envoy',
} as const;

export const volumeNames = { socket: 'curfew-socket', config: 'curfew-config' } as const;

/** Prefix of volumes that hold mounted secrets. */
export const secretVolumePrefix = 'curfew-secret-';

export const labels = {
  inject: 'curfew/inject',
  /** Says how a pod is captured; NetworkPolicies and monitors select by it. */
  injected: 'curfew/injected',
  /** Says how many ports of Envoy the NetworkPolicies open to a pod with proxy capture. */
  proxiedPorts: 'curfew/proxied-ports',
} as const;

export const annotations = {
  ports: 'curfew/ports',
  openPorts: 'curfew/open-ports',
  audience: 'curfew/audience',
  scopes: 'curfew/scopes',
  publicPaths: 'curfew/public-paths',
  maxExposure: 'curfew/max-exposure',
  capture: 'curfew/capture',
  corsPreflight: 'curfew/cors-preflight',
  maxStreamDuration: 'curfew/max-stream-duration',
  trustedProxyHops: 'curfew/trusted-proxy-hops',
  resources: 'curfew/resources',
  /** Ours: the authorizer's configuration, mounted by the downward API. */
  authorizerConfig: 'curfew/authorizer-config',
  /** Ours: what was rewritten, so that a second admission starts from the pod as it was. */
  rewritten: 'curfew/rewritten',
} as const;

const ourContainers: ReadonlySet<string> = new Set(Object.values(containerNames));
const ourVolumes: ReadonlySet<string> = new Set(Object.values(volumeNames));

export const isOurContainer = (name: string): boolean => ourContainers.has(name);

export const isOurVolume = (name: string): boolean =>
  ourVolumes.has(name) || name.startsWith(secretVolumePrefix);
