import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAuthority } from '../test/grpc/certificates.ts';
import type { ClientTlsFiles } from './load/messages.ts';

/** The certificates of the contenders with mutual TLS; ECDSA P-256. Paths of PEM files. */
export type BenchPki = {
  readonly server: { readonly cert: string; readonly key: string; readonly clientCa: string };
  readonly client: ClientTlsFiles;
};

export function writeBenchPki(folder: string): BenchPki {
  const authority = createAuthority();
  const [server, client] = [authority.issue('authorizer'), authority.issue('envoy')];
  const pki = join(folder, 'pki');
  mkdirSync(pki);
  const fileOf = (name: string, text: string): string => {
    writeFileSync(join(pki, name), text);
    return join(pki, name);
  };
  const ca = fileOf('ca.pem', authority.cert);
  return {
    server: { cert: fileOf('cert.pem', server.cert), key: fileOf('key.pem', server.key), clientCa: ca },
    client: { ca, cert: fileOf('client-cert.pem', client.cert), key: fileOf('client-key.pem', client.key) },
  };
}
