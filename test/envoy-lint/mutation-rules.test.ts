import { afterAll, beforeAll, expect, it } from 'vitest';
import { defaultLintOptions } from '../../src/envoy-lint/options.ts';
import { lintEnvoy } from '../../src/envoy-lint/lint.ts';
import { wantedHeaders } from '../../src/envoy/wanted-headers.ts';
import { startEchoService, type Echo, type EchoService } from '../envoy/echo-service.ts';
import { startEnvoyWith, type RunningEnvoy } from '../envoy/envoy-process.ts';
import { allowed, startServer, type TestServer } from '../grpc/grpc-fixture.ts';
import { envoyConfig } from '../../src/injection/envoy-config.ts';
import { findingsIn, partsOf, put, type Tree } from './samples.ts';

const samples = [
  { name: 'all', rules: { disallow_all: true }, passes: true },
  { name: 'expression', rules: { disallow_expression: { regex: 'x-auth-.*' } }, passes: true },
  {
    name: 'both-expressions',
    rules: { allow_expression: { regex: 'x-.*' }, disallow_expression: { regex: 'x-auth-subject' } },
    passes: true,
  },
  {
    name: 'allowed-of-all',
    rules: { disallow_all: true, allow_expression: { regex: 'x-auth-.*' } },
    passes: false,
  },
  { name: 'error', rules: { disallow_all: true, disallow_is_error: true }, passes: false },
  { name: 'others', rules: { disallow_expression: { regex: 'x-auth' } }, passes: false },
];

let service: EchoService;
let authorizer: TestServer;
let envoy: RunningEnvoy;

beforeAll(async () => {
  service = await startEchoService();
  const removed = ['x-auth-subject', 'x-auth-session', 'x-auth-issuer', 'x-auth-scopes'];
  authorizer = await startServer(() => allowed({ remove: removed }), {
    headers: wantedHeaders([{ header: 'authorization' }], 'x-auth-', { corsOrigins: [] }),
  });
  envoy = await startEnvoyWith(configOf(...samples));
});

afterAll(async () => {
  await envoy.stop();
  await authorizer.server.stop();
  await service.stop();
});

/** A listener for each sample, with nothing ahead of ext_authz that removes headers. */
function configOf(...chosen: typeof samples): Tree {
  const root = JSON.parse(
    JSON.stringify(
      envoyConfig({
        admin: { host: '127.0.0.1', port: 0 },
        authorizer: authorizer.server.boundAddress(),
        services: chosen.map(({ name }) => ({
          name,
          listen: { host: '127.0.0.1', port: 0 },
          upstream: { host: '127.0.0.1', port: service.port },
          corsPreflight: 'deny' as const,
        })),
      }),
    ),
  ) as Tree;
  const listeners = root['static_resources']?.['listeners'] as Tree[];
  for (const [index, { rules }] of chosen.entries()) {
    const { check, filters } = partsOf({
      static_resources: { listeners: [listeners[index]] },
    } as unknown as Tree);
    put(check, { decoder_header_mutation_rules: rules });
    filters.shift();
  }
  return root;
}

it.each(samples)('an identity header of a client passes Envoy as envoy-lint says: $name', async (sample) => {
  const response = await fetch(envoy.url(sample.name), { headers: { 'x-auth-subject': 'forged' } });
  const body = await response.text();
  const subject = response.ok ? (JSON.parse(body) as Echo).headers['x-auth-subject'] : undefined;
  expect(subject).toBe(sample.passes ? 'forged' : undefined);
  const found = findingsIn(lintEnvoy([configOf(sample)], defaultLintOptions));
  const kept = found.find(({ rule }) => rule === 'reserved-headers-kept');
  expect(kept?.severity).toBe(sample.passes ? 'error' : 'warn');
});
