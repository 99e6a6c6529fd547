import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kubectl, kubectlWith } from './kubectl.ts';

/** A Go module that carries custom resource definitions, and where in it they are. */
type Schemas = { readonly module: string; readonly files: readonly string[] };

export const certManager: readonly Schemas[] = [
  {
    module: 'github.com/cert-manager/cert-manager@v1.21.2',
    files: ['deploy/crds/cert-manager.io_certificates.yaml', 'deploy/crds/cert-manager.io_issuers.yaml'],
  },
];

const monitoring = 'example/prometheus-operator-crd/monitoring.coreos.com';

export const prometheusOperator: readonly Schemas[] = [
  {
    module: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
    files: ['servicemonitors', 'podmonitors', 'prometheusrules'].map((one) => `${monitoring}_${one}.yaml`),
  },
];

export const gateways: readonly Schemas[] = [
  { module: 'istio.io/api@v1.31.4', files: ['kubernetes/customresourcedefinitions.gen.yaml'] },
  { module: 'github.com/projectcontour/contour@v1.33.8', files: ['examples/contour/01-crds.yaml'] },
  {
    module: 'github.com/envoyproxy/gateway@v1.9.1',
    files: [
      'charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_securitypolicies.yaml',
      'charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_clienttrafficpolicies.yaml',
      'charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_envoyproxies.yaml',
    ],
  },
  {
    module: 'sigs.k8s.io/gateway-api@v1.6.0',
    files: [
      'config/crd/experimental/gateway.networking.k8s.io_backendtlspolicies.yaml',
      'config/crd/experimental/gateway.networking.k8s.io_httproutes.yaml',
      'config/crd/experimental/gateway.networking.k8s.io_referencegrants.yaml',
    ],
  },
];

/** Puts them into the cluster, and waits until the API server serves them. */
export async function installSchemas(schemas: readonly Schemas[]): Promise<void> {
  for (const text of schemas.flatMap(textsOf))
    await kubectlWith(text, 'apply', '--server-side', '--force-conflicts', '-f', '-');
  await kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=120s');
}

export async function removeSchemas(schemas: readonly Schemas[]): Promise<void> {
  for (const text of schemas.flatMap(textsOf))
    await kubectlWith(text, 'delete', '--ignore-not-found', '-f', '-');
}

function textsOf({ module, files }: Schemas): string[] {
  // Outside of any module: the answer must not depend on one.
  const { Dir } = JSON.parse(
    execFileSync('go', ['mod', 'download', '-json', module], { encoding: 'utf8', cwd: tmpdir() }),
  ) as { Dir: string };
  return files.map((file) => readFileSync(join(Dir, file), 'utf8'));
}
