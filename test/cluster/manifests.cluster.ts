import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { neverPrinted } from '../output.ts';
import { render, type Manifest } from './helm.ts';
import {
  addUser,
  apply,
  kubectl,
  kubectlWith,
  loadImages,
  repository,
  rollout,
  startClient,
  type Client,
} from './kubectl.ts';
import { namespace } from './workloads.ts';

/** Go modules that carry the schemas, and where in them. */
const sources = [
  { module: 'istio.io/api@v1.31.4', files: ['kubernetes/customresourcedefinitions.gen.yaml'] },
  { module: 'github.com/projectcontour/contour@v1.33.8', files: ['examples/contour/01-crds.yaml'] },
  {
    module: 'github.com/envoyproxy/gateway@v1.9.1',
    files: [
      'charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_securitypolicies.yaml',
      'charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_clienttrafficpolicies.yaml',
    ],
  },
  {
    module: 'sigs.k8s.io/gateway-api@v1.6.0',
    files: [
      'config/crd/experimental/gateway.networking.k8s.io_httproutes.yaml',
      'config/crd/experimental/gateway.networking.k8s.io_referencegrants.yaml',
    ],
  },
];

const password = 'correct horse battery staple';
let client: Client;

beforeAll(async () => {
  neverPrinted(password);
  loadImages();
  for (const { module, files } of sources) {
    // Outside of any module: the answer must not depend on one.
    const { Dir } = JSON.parse(
      execFileSync('go', ['mod', 'download', '-json', module], { encoding: 'utf8', cwd: tmpdir() }),
    ) as { Dir: string };
    for (const file of files)
      await kubectlWith(readFileSync(join(Dir, file), 'utf8'), 'apply', '--server-side', '-f', '-');
  }
  await kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s');
  await apply(namespace('shop'), namespace('curfew'), namespace('outside'));
  client = await startClient('outside');
});

afterAll(async () => {
  const gone = ['shop', 'curfew', 'curfew-demo', 'outside'];
  await kubectl('delete', 'namespace', ...gone, '--ignore-not-found', '--wait=false');
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

  it.each([
    ['identity and monitoring off', {}],
    [
      'an HTTPRoute',
      { httpRoute: { enabled: true, parentRefs: [{ name: 'gateway' }], hostnames: ['id.example'] } },
    ],
  ])('takes what the chart renders with %s', async (_what, changed) => {
    const manifests = await render({
      redis: { bundled: { enabled: true } },
      injector: { namespaces: ['shop'], capture: 'proxy' },
      identity: {
        enabled: true,
        issuer: 'https://id.example',
        clients: [{ client_id: 'cli', token_endpoint_auth_method: 'none', grant_types: ['refresh_token'] }],
        resources: { orders: { scopes: [] } },
        ingress: { enabled: true, host: 'id.example' },
        ...changed,
      },
    });
    const items = manifests.map((one) => inNamespace(one));
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
    const printed = await kubectlWith(list, 'apply', '--dry-run=server', '--validate=strict', '-f', '-');
    expect(printed.split('\n').length).toBe(manifests.length);
  });
});

/** As Helm does with what names no namespace. */
function inNamespace(manifest: Manifest): Manifest {
  if (manifest.kind === 'MutatingWebhookConfiguration') return manifest;
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

  it('has only documents with a kind', () => {
    for (const name of readdirSync(join(folder, 'envoy')).filter((one) => one.endsWith('.yaml'))) {
      const documents = parseAllDocuments(readFileSync(join(folder, 'envoy', name), 'utf8'));
      expect(
        documents.every((document) => typeof (document.toJS() as { kind?: string }).kind === 'string'),
      ).toBe(true);
    }
  });
});
