import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openRedis } from '../../src/redis/connection.ts';
import { testCertificate } from '../token/certificate.ts';

afterEach(() => vi.unstubAllEnvs());

describe('a connection to Redis over TLS', () => {
  it('is refused for a self-signed certificate, whatever the environment says', async () => {
    let isTrusted = false;
    const server = createServer(testCertificate(), (socket) => {
      isTrusted = true;
      socket.on('error', () => {}).end('-ERR not Redis\r\n');
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    server.on('tlsClientError', () => {}).listen(0, '127.0.0.1', resolve);
    await promise;
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    const { port } = server.address() as AddressInfo;
    const opened = openRedis({ url: `rediss://127.0.0.1:${port}` }, { connectionName: 'test' });
    await expect(opened).rejects.toThrow(/certificate/);
    expect(isTrusted).toBe(false);
    server.close();
  });
});
