/** The names of our containers in a pod. Nothing else in a pod may use them. */
export const containerNames = {
  redirect: 'curfew-redirect',
  authorizer: 'curfew-authorizer',
  envoy: 'curfew-envoy',
} as const;

export const volumeNames = { socket: 'curfew-socket', config: 'curfew-config' } as const;

/** Prefix of the names of volumes for mounted Secrets. */
export const secretVolumePrefix = 'curfew-secret-';

export const labels = {
  inject: 'curfew/inject',
  /** The kind of capture of a pod. NetworkPolicies and monitors select by it. */
  injected: 'curfew/injected',
  /** The number of Envoy's ports in a pod with proxy capture. NetworkPolicies open that many. */
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
  /** Set by us: the authorizer's configuration, mounted with the downward API. */
  authorizerConfig: 'curfew/authorizer-config',
  /** Set by us: what was rewritten, so that another admission can start from the original pod. */
  rewritten: 'curfew/rewritten',
} as const;

const ourContainers: ReadonlySet<string> = new Set(Object.values(containerNames));
const ourVolumes: ReadonlySet<string> = new Set(Object.values(volumeNames));

export const isOurContainer = (name: string): boolean => ourContainers.has(name);

export const isOurVolume = (name: string): boolean =>
  ourVolumes.has(name) || name.startsWith(secretVolumePrefix);
