import { nodeImage } from './images.ts';
import { restricted } from './kubectl.ts';

/**
 * A file server as people have them: it knows nothing of tokens. Port 9090 is its metrics, 7070 one it forgot
 * to declare.
 */
const fileServer = `
const { createServer } = require('node:http');
const { readdirSync } = require('node:fs');
for (const port of [8080, 9090, 7070])
  createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ files: readdirSync('/etc').slice(0, 3), path: request.url, from: request.socket.remoteAddress, headers: request.headers }));
  }).listen(port);
process.on('SIGTERM', () => setTimeout(() => process.exit(0), 100));
`;

export type WorkloadOptions = {
  readonly name: string;
  readonly namespace: string;
  readonly annotations?: Record<string, string>;
  readonly replicas?: number;
};

/** Deployment and Service of the file server. */
export const workload = ({ name, namespace, annotations = {}, replicas = 1 }: WorkloadOptions): object[] => [
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      template: {
        metadata: { labels: { app: name }, annotations },
        spec: {
          terminationGracePeriodSeconds: 20,
          containers: [
            {
              name: 'files',
              image: nodeImage,
              command: ['node', '-e', fileServer],
              ports: [
                { name: 'http', containerPort: 8080 },
                { name: 'metrics', containerPort: 9090 },
              ],
              readinessProbe: { httpGet: { path: '/ready?full=1', port: 'http' }, periodSeconds: 1 },
              livenessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 5 },
              lifecycle: { preStop: { sleep: { seconds: 5 } } },
              securityContext: restricted,
            },
          ],
        },
      },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { selector: { app: name }, ports: [{ port: 80, targetPort: 'http' }] },
  },
];

export const namespace = (name: string, labels: Record<string, string> = {}): object => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
});

type Server = {
  readonly name: string;
  readonly namespace: string;
  readonly port: number;
  readonly servicePort?: number;
  readonly container: object;
};

/** One pod of a server, and its Service. */
const server = ({
  name,
  namespace: namespaceName,
  port,
  servicePort = port,
  container,
}: Server): object[] => [
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: namespaceName },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          containers: [{ name, readinessProbe: { tcpSocket: { port }, periodSeconds: 1 }, ...container }],
        },
      },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: namespaceName },
    spec: { selector: { app: name }, ports: [{ port: servicePort, targetPort: port }] },
  },
];

/** A program that listens on 8080, at a Service's port 80. */
export const nodeServer = (at: {
  name: string;
  namespace: string;
  program: string;
  env: object[];
}): object[] => {
  const container = { image: nodeImage, command: ['node', '-e', at.program], env: at.env };
  return server({ name: at.name, namespace: at.namespace, port: 8080, servicePort: 80, container });
};

/** PostgreSQL without a volume: identity's database while the tests run. */
export const postgres = (namespaceName: string, password: string): object[] => {
  const env = [
    { name: 'POSTGRES_USER', value: 'curfew' },
    { name: 'POSTGRES_PASSWORD', value: password },
  ];
  const container = { image: 'postgres:15', env };
  return server({ name: 'postgres', namespace: namespaceName, port: 5432, container });
};

/** A Redis of one's own, with more of its arguments: `--requirepass`. */
export const redis = (namespaceName: string, name: string, ...args: readonly string[]): object[] => {
  const container = { image: 'redis:7', args: ['redis-server', '--save', '', ...args] };
  return server({ name, namespace: namespaceName, port: 6379, container });
};
