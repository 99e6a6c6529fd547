import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { neverPrinted } from '../output.ts';
import { startClient, type Client } from './client.ts';
import {
  certManager,
  gateways,
  installSchemas,
  prometheusOperator,
  removeSchemas,
} from './custom-resources.ts';
import { render, type Manifest } from './helm.ts';
import {
  addUser,
  apply,
  deleteNamespaces,
  kubectl,
  kubectlWith,
  needCluster,
  repository,
  restart,
  rollout,
} from './kubectl.ts';
import { underLoad } from './load.ts';
import { permutations } from './permutations.ts';
import { namespace } from './workloads.ts';

const schemas = [...gateways, ...prometheusOperator, ...certManager];
const password = 'correct horse battery staple';
let client: Client;

beforeAll(async () => {
  neverPrinted(password);
  needCluster();
  await installSchemas(schemas);
  await apply(...['shop', 'billing', 'curfew', 'outside'].map((name) => namespace(name)));
  client = await startClient('outside');
});

afterAll(async () => {
  client?.close();
  await removeSchemas(schemas);
  await deleteNamespaces('shop', 'billing', 'curfew', 'curfew-demo', 'outside');
});

const folder = join(repository, 'k8s');
const kustomizations = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('kustomization.yaml') && !name.startsWith('envoy/'))
  .map((name) => name.replace('/kustomization.yaml', ''));

describe('the API server, with the real schemas', () => {
  it.each(kustomizations)('takes every field of k8s/%s', async (name) => {
    const printed = await kubectl('apply', '--dry-run=server', '--validate=strict', '-k', join(folder, name));
    expect(printed).toContain('deployment.apps/curfew-authorizer');
  });

  it.each(Object.entries(permutations))('takes what the chart renders with %s', async (_what, values) => {
    const manifests = await render(values);
    const items = manifests.map((one) => inNamespace(one));
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
    const printed = await kubectlWith(list, 'apply', '--dry-run=server', '--validate=strict', '-f', '-');
    expect(printed.split('\n').length).toBe(manifests.length);
  });
});

/** As Helm does with what names no namespace. */
function inNamespace(manifest: Manifest): Manifest {
  if (manifest.apiVersion.startsWith('admissionregistration.k8s.io/')) return manifest;
  return { ...manifest, metadata: { namespace: 'curfew', ...manifest.metadata } };
}

describe('k8s/envoy', () => {
  it('protects its service from login to logout, as its README says', async () => {
    await kubectl('apply', '-k', join(folder, 'envoy'));
    await Promise.all(['redis', 'identity', 'orders', 'gateway'].map((name) => rollout('curfew-demo', name)));
    const at = { namespace: 'curfew-demo', deployment: 'identity', config: '/etc/curfew/identity.yaml' };
    await addUser(at, 'demo', password);
    const orders = 'http://gateway.curfew-demo.svc:8000/orders';
    const identity = 'http://identity.curfew-demo.svc:8080';
    expect((await client.request(orders)).status).toBe(401);
    const { body } = await client.request(`${identity}/token`, {
      form: { grant_type: 'urn:curfew:grant-type:login', client_id: 'cli', username: 'demo', password },
    });
    const tokens = JSON.parse(body) as { access_token: string; refresh_token: string };
    neverPrinted(tokens.access_token, tokens.refresh_token);
    const headers = { authorization: `Bearer ${tokens.access_token}` };
    expect((await client.request(orders, { headers })).status).toBe(200);
    await client.request(`${identity}/token/revocation`, {
      form: { client_id: 'cli', token: tokens.refresh_token },
    });
    expect((await client.request(orders, { headers })).status).toBe(401);
    expect((await client.request('http://orders.curfew-demo.svc:3000/')).status).toBe(0);
  });

  it('loses no request and lets none through when its Envoy, with the authorizer, is restarted', async () => {
    const issuer = 'http://identity.curfew-demo.svc:8080';
    const { body } = await client.request(`${issuer}/token`, {
      form: { grant_type: 'urn:curfew:grant-type:login', client_id: 'cli', username: 'demo', password },
    });
    const { refresh_token: refreshToken } = JSON.parse(body) as { refresh_token: string };
    neverPrinted(refreshToken);
    const url = 'http://gateway.curfew-demo.svc:8000/orders';
    const count = await underLoad(client, { url, issuer, refreshToken }, () =>
      restart('curfew-demo', 'gateway'),
    );
    console.log(`a restart of the gateway: ${JSON.stringify(count)}`);
    expect(count).toMatchObject({ leaked: 0, failed: {} });
  });

  it('has only documents with a kind', () => {
    for (const name of readdirSync(join(folder, 'envoy')).filter((one) => one.endsWith('.yaml'))) {
      const documents = parseAllDocuments(readFileSync(join(folder, 'envoy', name), 'utf8'));
      expect(
        documents.every((document) => typeof (document.toJS() as { kind?: string }).kind === 'string'),
      ).toBe(true);
    }
  });
});
