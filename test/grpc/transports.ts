import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { writeFileSync } from 'node:fs';
import {
  connect as connectHttp2Session,
  type ClientHttp2Session,
  type ClientSessionOptions,
} from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { EngineName } from '../../src/grpc/engine-choice.ts';
import type { TlsFiles } from '../../src/grpc/tls-listener.ts';
import type { Address } from '../../src/runtime/address.ts';
import { temporaryDirectory } from '../temporary.ts';
import { createAuthority, type Authority, type Certificate } from './certificates.ts';

export type TransportName = 'unix' | 'tcp' | 'tls' | 'mtls';

/** Every engine over every transport. */
export const combinations: readonly (readonly [EngineName, TransportName])[] = (
  ['native', 'grpc-js'] as const
).flatMap((engine) =>
  (['unix', 'tcp', 'tls', 'mtls'] as const).map((transport) => [engine, transport] as const),
);

/** How a server listens, and how its clients connect. */
export type Transport = {
  readonly name: TransportName;
  readonly address: Address;
  readonly tls: TlsFiles | undefined;
  readonly channelCredentials: ChannelCredentials;
  /** A connection on which nothing was said, after its TLS handshake. */
  socket(bound: Address): Socket;
  session(bound: Address, options?: ClientSessionOptions): ClientHttp2Session;
};

const serverName = 'authorizer';
let pki: Pki | undefined;

type Pki = { readonly authority: Authority; readonly server: Certificate; readonly client: Certificate };

/** An authority with a certificate for the server and one for a client, the same for all tests of a file. */
export function testPki(): Pki {
  if (pki !== undefined) return pki;
  const authority = createAuthority();
  pki = { authority, server: authority.issue(serverName), client: authority.issue('envoy') };
  return pki;
}

export function writeTlsFiles(folder: string): TlsFiles {
  const { authority, server } = testPki();
  const fileOf = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  return {
    cert: fileOf('cert.pem', server.cert),
    key: fileOf('key.pem', server.key),
    clientCa: fileOf('ca.pem', authority.cert),
  };
}

export function createTransport(name: TransportName): Transport {
  switch (name) {
    case 'unix':
      return withoutTls(name, { kind: 'unix', path: join(temporaryDirectory(), 'authorizer.sock') });
    case 'tcp':
      return withoutTls(name, { kind: 'tcp', host: '127.0.0.1', port: 0 });
    case 'tls':
    case 'mtls':
      return withTls(name);
  }
}

function withoutTls(name: TransportName, address: Address): Transport {
  const socket = (bound: Address): Socket =>
    bound.kind === 'unix' ? connectTcp(bound.path) : connectTcp(bound.port, bound.host);
  return {
    name,
    address,
    tls: undefined,
    channelCredentials: credentials.createInsecure(),
    socket,
    session: (bound, options) =>
      connectHttp2Session('http://authorizer', { ...options, createConnection: () => socket(bound) }),
  };
}

function withTls(name: TransportName): Transport {
  const { authority, client } = testPki();
  const files = writeTlsFiles(temporaryDirectory());
  const { cert, key } = files;
  const own = name === 'mtls' ? client : undefined;
  const socket = (bound: Address): Socket => {
    if (bound.kind === 'unix') throw new Error('TLS is for TCP');
    const { host, port } = bound;
    const ALPNProtocols = ['h2'];
    return connectTls({ host, port, servername: serverName, ca: authority.cert, ALPNProtocols, ...own });
  };
  const pem = (text: string | undefined): Buffer | null => (text === undefined ? null : Buffer.from(text));
  return {
    name,
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    tls: own === undefined ? { cert, key } : files,
    channelCredentials: credentials.createSsl(pem(authority.cert), pem(own?.key), pem(own?.cert)),
    socket,
    session: (bound, options) =>
      connectHttp2Session('https://authorizer', { ...options, createConnection: () => socket(bound) }),
  };
}
