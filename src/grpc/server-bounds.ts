/** What one client, or all of them together, may ask of the port. */
export type ServerBounds = {
  /** A check request; bytes. Envoy's own default limit for all headers of a request is 60 KiB. */
  readonly maxMessageBytes: number;
  /** On one connection; the recommended Envoy configuration says the same. Envoy opens another one at the limit. */
  readonly maxConcurrentStreams: number;
  readonly maxConnections: number;
  /** Connections beyond those whose sockets are still open after they were told to close, or have ended. */
  readonly maxLeaving: number;
  /** TCP only: a connection is asked to close after this time, give or take a tenth; ms. */
  readonly maxConnectionAgeMs: number;
  /** TCP only. Longer than Envoy's own idle time of an hour, so that Envoy is the one to close. */
  readonly maxConnectionIdleMs: number;
  /** A connection is probed this often and closed when 10 s pass without an answer; ms. */
  readonly keepaliveMs: number;
  /** For a TLS handshake, and for a connection's first byte; ms. */
  readonly helloTimeoutMs: number;
};

export const defaultBounds: ServerBounds = {
  maxMessageBytes: 128 * 1024,
  maxConcurrentStreams: 1024,
  maxConnections: 512,
  maxLeaving: 128,
  maxConnectionAgeMs: 3_600_000,
  maxConnectionIdleMs: 3_900_000,
  keepaliveMs: 30_000,
  helloTimeoutMs: 10_000,
};

/** For the answer to a probe; ms. */
export const probeTimeoutMs = 10_000;
/** For open calls of a connection that is asked to close for its age; ms. */
export const ageGraceMs = 10_000;
