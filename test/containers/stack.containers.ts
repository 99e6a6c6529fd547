import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { walk } from '../../src/demo/walk.ts';
import { envoyConfig } from '../../src/injection/envoy-config.ts';
import { neverPrinted } from '../output.ts';
import { freePort } from '../processes.ts';
import { lastingDirectory } from '../temporary.ts';
import { docker, envoyImage, image, nodeImage, postgresImage, redisImage, statusOf } from './docker.ts';
import { Laboratory, readOnly, type Container } from './laboratory.ts';

const password = 'correct horse battery staple';
const databasePassword = 'database-password-1';

describe.each(['sqlite', 'postgres'] as const)('the images together, with %s', (database) => {
  const laboratory = new Laboratory();
  const parts: Record<string, Container> = {};
  let network: string;
  let identityUrl: string;
  let resourceUrl: string;
  let folder: string;

  const file = (name: string, content: unknown): string => {
    const path = join(folder, name);
    writeFileSync(path, typeof content === 'string' ? content : stringify(content));
    return path;
  };

  async function startIdentity(): Promise<void> {
    const { port } = new URL(identityUrl);
    const config = file('identity.yaml', {
      issuer: identityUrl,
      listen: '0.0.0.0:8080',
      admin: '0.0.0.0:9012',
      database:
        database === 'sqlite'
          ? { sqlite: '/data/identity.db' }
          : { postgres: { url: { file: '/etc/curfew/database-url' } } },
      redis: { url: 'redis://redis:6379' },
      log: { level: 'debug' },
      clients: [
        {
          client_id: 'cli',
          token_endpoint_auth_method: 'none',
          grant_types: ['urn:curfew:grant-type:login', 'refresh_token'],
        },
      ],
      resources: { orders: { scopes: ['read', 'write'] } },
    });
    const url = file('database-url', `postgres://curfew:${databasePassword}@postgres:5432/curfew`);
    const data = await laboratory.memoryVolume('data', 'uid=65532');
    const shared = {
      image: image('identity'),
      network,
      mounts: [
        readOnly(config, '/etc/curfew/identity.yaml'),
        readOnly(url, '/etc/curfew/database-url'),
        { source: data, target: '/data' },
      ],
    };
    parts['identity'] = await laboratory.start({
      ...shared,
      name: 'identity',
      publish: { host: Number(port), container: 8080 },
    });
    const { ipv4 } = await parts['identity'].addresses();
    await parts['identity'].answers(`http://${ipv4}:9012/readyz`);
    await laboratory.once(
      {
        ...shared,
        name: 'user',
        entrypoint: '/nodejs/bin/node',
        args: ['/app/curfew.mjs', 'user', 'add', 'demo', '--config', '/etc/curfew/identity.yaml'],
      },
      `${password}\n`,
    );
  }

  async function startAuthorizer(): Promise<void> {
    const config = file('authorizer.yaml', {
      listen: '0.0.0.0:9001',
      admin: '0.0.0.0:9002',
      issuers: [
        {
          issuer: identityUrl,
          audiences: ['orders'],
          algorithms: ['RS256'],
          jwks: { uri: 'http://identity:8080/jwks', allowHttp: true },
        },
      ],
      revocation: { redis: { url: 'redis://redis:6379' } },
      log: { level: 'debug', decisions: 'all' },
    });
    const authorizer = await laboratory.start({
      name: 'authorizer',
      image: image('authorizer'),
      network,
      mounts: [readOnly(config, '/etc/curfew/authorizer.yaml')],
    });
    parts['authorizer'] = authorizer;
    const { ipv4 } = await authorizer.addresses();
    const started = performance.now();
    await authorizer.answers(`http://${ipv4}:9002/readyz`);
    console.log(`authorizer: ready ${Math.round(performance.now() - started)} ms after it was started`);
  }

  async function startEnvoy(): Promise<void> {
    const config = file(
      'envoy.yaml',
      envoyConfig({
        authorizer: { kind: 'tcp', host: 'authorizer', port: 9001 },
        services: [
          {
            name: 'orders',
            listen: { host: '0.0.0.0', port: 10_000 },
            upstream: { host: 'orders', port: 3000 },
          },
        ],
      }),
    );
    const service = join(import.meta.dirname, '..', '..', 'src', 'demo', 'resource-service.ts');
    await laboratory.start({
      name: 'orders',
      image: nodeImage,
      network,
      args: ['node', '/service.ts', '3000', '0.0.0.0'],
      mounts: [readOnly(service, '/service.ts')],
    });
    parts['envoy'] = await laboratory.start({
      name: 'envoy',
      image: envoyImage,
      network,
      entrypoint: 'envoy',
      args: ['--config-path', '/etc/envoy/envoy.yaml', '--disable-hot-restart'],
      mounts: [readOnly(config, '/etc/envoy/envoy.yaml')],
      publish: { host: Number(new URL(resourceUrl).port), container: 10_000 },
    });
    await parts['envoy'].answers(`${resourceUrl}/orders`, 401);
  }

  beforeAll(async () => {
    neverPrinted(password, databasePassword);
    folder = lastingDirectory();
    chmodSync(folder, 0o755);
    network = await laboratory.network('net');
    identityUrl = `http://localhost:${await freePort()}`;
    resourceUrl = `http://localhost:${await freePort()}`;
    parts['redis'] = await laboratory.start({ name: 'redis', image: redisImage, network, hardened: false });
    if (database === 'postgres') {
      const env = { POSTGRES_USER: 'curfew', POSTGRES_PASSWORD: databasePassword };
      const postgres = await laboratory.start({
        name: 'postgres',
        image: postgresImage,
        network,
        env,
        hardened: false,
      });
      await untilPostgres(postgres);
    }
    await startIdentity();
    await startAuthorizer();
    await startEnvoy();
  });

  afterAll(() => laboratory.clear());

  it('play login, use, refresh and logout', async () => {
    const lines: string[] = [];
    const well = await walk({
      resource: resourceUrl,
      identity: identityUrl,
      clientId: 'cli',
      username: 'demo',
      password,
      print: (line) => lines.push(line),
    });
    expect({ well, lines }).toMatchObject({ well: true });
  });

  it('stay within their memory', async () => {
    const stats = await docker('stats', '--no-stream', '--format', '{{.Name}} {{.MemUsage}}');
    console.log(
      stats
        .split('\n')
        .filter((line) => line.includes(laboratory.id))
        .join('\n'),
    );
    expect(stats).toContain(laboratory.named('authorizer'));
  });

  it('end with 0 on SIGTERM, and the service stays closed', async () => {
    expect(await parts['authorizer']?.end()).toBe(0);
    expect(await statusOf(`${resourceUrl}/orders`)).toBe(503);
    expect(await parts['identity']?.end()).toBe(0);
  });
});

// The image's entrypoint starts the server twice; the first one listens on a Unix socket only.
async function untilPostgres(postgres: Container): Promise<void> {
  const { ipv4 } = await postgres.addresses();
  const { connect } = await import('node:net');
  for (let attempt = 0; attempt < 300; attempt += 1) {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const socket = connect({ host: ipv4, port: 5432 }, () => resolve(true));
    socket.on('error', () => resolve(false));
    const open = await promise;
    socket.destroy();
    if (open) return;
    await new Promise((wake) => setTimeout(wake, 100));
  }
  throw new Error('PostgreSQL does not listen');
}
