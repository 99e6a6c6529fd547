import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { authorizerSchema } from '../../src/config/authorizer.ts';
import { identitySchema } from '../../src/config/identity.ts';
import { envoyConfig } from '../../src/injection/envoy-config.ts';
import { startEnvoyWith } from '../envoy/envoy-process.ts';

const root = join(import.meta.dirname, '..', '..');
const folder = join(root, 'k8s');
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
const recommended = () => {
  const { listen } = v.parse(authorizerSchema, parse(read('envoy/config/authorizer.yaml')));
  return envoyConfig({
    authorizer: listen,
    sources: [{ header: 'authorization' }],
    services: [
      {
        name: 'service',
        listen: { host: '0.0.0.0', port: 8000 },
        upstream: { host: 'orders', port: 3000 },
        publicPaths: [{ exact: '/healthz' }],
      },
    ],
  });
};

describe('the manifests', () => {
  it.each(files.filter((name) => name.endsWith('/authorizer.yaml') && name.includes('config/')))(
    'have a configuration that the authorizer takes, in %s',
    (name) => {
      expect(v.safeParse(authorizerSchema, parse(read(name))).issues).toBeUndefined();
    },
  );

  it('have a configuration that identity takes', () => {
    expect(v.safeParse(identitySchema, parse(read('envoy/config/identity.yaml'))).issues).toBeUndefined();
  });

  it('have the Envoy configuration we recommend', () => {
    expect(parse(read('envoy/config/envoy.yaml'))).toEqual(JSON.parse(JSON.stringify(recommended())));
  });

  it('ask the authorizer in Istio as Envoy does by our own configuration', async () => {
    const [filter] = parseAllDocuments(read('istio/envoy-filter/envoy-filter.yaml')).map(
      (document) =>
        document.toJS() as { spec: { configPatches: { applyTo: string; patch: { value: unknown } }[] } },
    );
    const values = (kind: string) =>
      (filter?.spec.configPatches ?? [])
        .filter(({ applyTo }) => applyTo === kind)
        .map(({ patch }) => patch.value);
    const filters = JSON.stringify(values('HTTP_FILTER'));
    expect(filters).toContain('"failure_mode_allow":false');
    // Envoy itself takes the pieces.
    const started = await startEnvoyWith({
      admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
      static_resources: {
        clusters: values('CLUSTER'),
        listeners: [
          {
            name: 'inbound',
            address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
            filter_chains: [
              {
                filters: [
                  {
                    name: 'envoy.filters.network.http_connection_manager',
                    typed_config: {
                      '@type':
                        'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                      stat_prefix: 'inbound',
                      http_filters: [
                        ...values('HTTP_FILTER'),
                        {
                          name: 'envoy.filters.http.router',
                          typed_config: {
                            '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
                          },
                        },
                      ],
                      route_config: {
                        virtual_hosts: [
                          {
                            name: 'inbound',
                            domains: ['*'],
                            routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }],
                            ...(values('VIRTUAL_HOST')[0] as object),
                          },
                        ],
                      },
                    },
                  },
                ],
              },
            ],
          },
        ],
      },
    });
    expect((await fetch(`${started.url('inbound')}/`)).status).toBe(503);
    await started.stop();
  });

  it.each(files.filter((name) => name.endsWith('.yaml')))('fail closed in %s', (name) => {
    expect(read(name)).not.toMatch(/fail(?:ure_mode_allow|Open): true|failurePolicy: Ignore/);
  });

  it.each(files.filter((name) => name.endsWith('kustomization.yaml')))(
    'name only files that exist, in %s',
    (name) => {
      const { resources = [], configMapGenerator = [] } = parse(read(name)) as {
        resources?: string[];
        configMapGenerator?: { files: string[] }[];
      };
      const here = join(folder, name, '..');
      for (const one of [...resources, ...configMapGenerator.flatMap((generator) => generator.files)]) {
        expect(existsSync(join(here, one))).toBe(true);
      }
    },
  );
});
