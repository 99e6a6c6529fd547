/** Limits on what one client, or all clients together, may take of the server. */
export type ServerBounds = {
  /** Size of a request message; bytes. Envoy's default limit for all headers of a request is 60 KiB. */
  readonly maxMessageBytes: number;
  /**
   * Per connection. The recommended Envoy configuration has the same limit, at which Envoy opens another
   * connection.
   */
  readonly maxConcurrentStreams: number;
  readonly maxConnections: number;
  /**
   * Native engine: connections beyond `maxConnections` that are draining, or have ended with their socket
   * still open.
   */
  readonly maxLeaving: number;
  /** TCP only: age at which a connection gets GOAWAY, plus or minus a tenth; ms. */
  readonly maxConnectionAgeMs: number;
  /** TCP only. Longer than Envoy's idle timeout of an hour, so that Envoy is the one to close; ms. */
  readonly maxConnectionIdleMs: number;
  /** Interval of pings. A connection without an answer within 10 s is closed; ms. */
  readonly keepaliveMs: number;
  /** From the accepted connection, after its TLS handshake, to its first byte; ms. */
  readonly firstByteTimeoutMs: number;
  /** TLS handshakes at once. A further one ends the oldest. */
  readonly maxHandshakes: number;
  /** For a whole TLS handshake; ms. */
  readonly handshakeTimeoutMs: number;
};

export const defaultBounds: ServerBounds = {
  maxMessageBytes: 128 * 1024,
  maxConcurrentStreams: 1024,
  maxConnections: 512,
  maxLeaving: 128,
  maxConnectionAgeMs: 3_600_000,
  maxConnectionIdleMs: 3_900_000,
  keepaliveMs: 30_000,
  firstByteTimeoutMs: 10_000,
  maxHandshakes: 64,
  handshakeTimeoutMs: 5000,
};

/** For the answer to a ping; ms. */
export const probeTimeoutMs = 10_000;
/** For the open calls of a connection that is closed for its age; ms. */
export const ageGraceMs = 10_000;
