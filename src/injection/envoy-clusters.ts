import { isIP } from 'node:net';
import type { Address } from '../runtime/address.ts';
import type { AuthorizerTls, EnvoyObject, EnvoyService } from './envoy-options.ts';

export const authorizerClusterName = 'curfew_authorizer';

// The authorizer has the same limit; a test compares the two.
const authorizerMaxStreams = 1024;

const httpOptions = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

// The sidecar must not add a limit of its own. Envoy's defaults are 1024 connections and 1024 requests.
const unlimited = {
  thresholds: [
    {
      max_connections: 1_000_000,
      max_pending_requests: 1_000_000,
      max_requests: 1_000_000,
      max_retries: 1_000_000,
    },
  ],
};

export const socketAddress = ({ host, port }: { host: string; port: number }): EnvoyObject => ({
  socket_address: { address: host, port_value: port },
});

export const typed = (type: string, fields: EnvoyObject): EnvoyObject => ({
  '@type': `type.googleapis.com/${type}`,
  ...fields,
});

/** The service behind a listener. */
export function serviceCluster({ name, upstream }: EnvoyService): EnvoyObject {
  const protocols = {
    same: { use_downstream_protocol_config: { http2_protocol_options: { allow_connect: true } } },
    http1: { explicit_http_config: { http_protocol_options: {} } },
    http2: { explicit_http_config: { http2_protocol_options: { allow_connect: true } } },
  };
  return {
    ...cluster(name, upstream.host, socketAddress(upstream)),
    connect_timeout: '5s',
    typed_extension_protocol_options: {
      [httpOptions]: typed(httpOptions, protocols[upstream.protocol ?? 'same']),
    },
    ...(upstream.sourceAddress !== undefined && {
      upstream_bind_config: { source_address: { address: upstream.sourceAddress, port_value: 0 } },
    }),
  };
}

/** The authorizer, by gRPC. */
export function authorizerCluster(authorizer: Address, tls: AuthorizerTls | undefined): EnvoyObject {
  const at =
    authorizer.kind === 'unix'
      ? { host: '127.0.0.1', address: { pipe: { path: authorizer.path } } }
      : tcp(authorizer.host ?? '127.0.0.1', authorizer.port);
  return {
    ...cluster(authorizerClusterName, at.host, at.address),
    // Shorter than the timeout of a check, so that there is time for a retry.
    connect_timeout: '0.25s',
    typed_extension_protocol_options: {
      [httpOptions]: typed(httpOptions, {
        explicit_http_config: {
          http2_protocol_options: {
            // Without it, a burst on a new connection would exceed the limit before Envoy receives the
            // authorizer's SETTINGS.
            max_concurrent_streams: authorizerMaxStreams,
            connection_keepalive: { interval: '30s', timeout: '5s' },
          },
        },
      }),
    },
    ...(tls !== undefined && { transport_socket: tlsSocket(tls) }),
  };
}

const tcp = (host: string, port: number): { host: string; address: EnvoyObject } => ({
  host,
  address: socketAddress({ host, port }),
});

function cluster(name: string, host: string, address: EnvoyObject): EnvoyObject {
  return {
    name,
    type: isIP(host) === 0 ? 'STRICT_DNS' : 'STATIC',
    circuit_breakers: unlimited,
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
    },
  };
}

function tlsSocket({ ca, cert, key, serverName }: AuthorizerTls): EnvoyObject {
  const file = (filename: string): EnvoyObject => ({ filename });
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: typed('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', {
      sni: serverName,
      common_tls_context: {
        alpn_protocols: ['h2'],
        tls_params: { tls_minimum_protocol_version: 'TLSv1_2' },
        validation_context: {
          trusted_ca: file(ca),
          match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: serverName } }],
        },
        ...(cert !== undefined &&
          key !== undefined && {
            tls_certificates: [{ certificate_chain: file(cert), private_key: file(key) }],
          }),
      },
    }),
  };
}
