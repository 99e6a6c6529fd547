import { expect, it } from 'vitest';
import { createGrpcServer, type GrpcServerOptions } from '../../src/grpc/server.ts';
import { createHealthService } from '../../src/grpc/health-service.ts';
import type { Address } from '../../src/runtime/address.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { temporaryDirectory } from '../temporary.ts';
import { capturedLog } from '../token/fixtures.ts';
import { createAuthority } from './certificates.ts';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';

const tcp = (host: string): Address => ({ kind: 'tcp', host, port: 0 });

function engineFor(address: Address, options: Partial<GrpcServerOptions> = {}): string {
  return createGrpcServer({
    address,
    tls: undefined,
    methods: [],
    health: createHealthService({ services: [], isReady: () => true }),
    drainMs: 0,
    clock: systemClock,
    log: capturedLog().log,
    ...options,
  }).engine;
}

function certificateFiles(): { cert: string; key: string } {
  const folder = temporaryDirectory();
  const pair = createAuthority().issue('authorizer');
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  writeFileSync(files.cert, pair.cert);
  writeFileSync(files.key, pair.key);
  return files;
}

it.each([
  ['a Unix socket', { kind: 'unix', path: '/run/curfew/authorizer.sock' }, 'native'],
  ['loopback', tcp('127.0.0.1'), 'native'],
  ['loopback of IPv6', tcp('::1'), 'native'],
  ['every interface', tcp('0.0.0.0'), 'grpc-js'],
  ['an address of the network', tcp('10.1.2.3'), 'grpc-js'],
] satisfies [string, Address, string][])(
  'on %s the engine is chosen by who can connect',
  (_, address, engine) => {
    expect(engineFor(address)).toBe(engine);
  },
);

it.each(['127.0.0.1', '0.0.0.0'])(
  'with TLS on %s the engine is native if clients need a certificate',
  (host) => {
    const { cert, key } = certificateFiles();
    expect(engineFor(tcp(host), { tls: { cert, key } })).toBe('grpc-js');
    expect(engineFor(tcp(host), { tls: { cert, key, clientCa: cert } })).toBe('native');
  },
);

it('the engine that is configured is taken', () => {
  expect(engineFor(tcp('0.0.0.0'), { engine: 'native' })).toBe('native');
  expect(engineFor(tcp('127.0.0.1'), { engine: 'grpc-js' })).toBe('grpc-js');
});
