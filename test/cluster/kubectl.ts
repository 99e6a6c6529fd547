import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { eventually } from '../processes.ts';
import { isClusterThere } from './images.ts';

const run = promisify(execFile);
export const repository = join(import.meta.dirname, '..', '..');

/** Runs `kubectl`; a failure holds its error output. */
export async function kubectl(...args: readonly string[]): Promise<string> {
  const { stdout } = await run('kubectl', args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  return stdout.trim();
}

/** Runs `kubectl` with a standard input. */
export async function kubectlWith(input: string, ...args: readonly string[]): Promise<string> {
  const finished = run('kubectl', args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  finished.child.stdin?.end(input);
  return (await finished).stdout.trim();
}

export const apply = (...manifests: readonly object[]): Promise<string> =>
  kubectlWith(manifests.map((one) => stringify(one)).join('---\n'), 'apply', '-f', '-');

export async function get<T>(...args: readonly string[]): Promise<T> {
  return JSON.parse(await kubectl('get', ...args, '--output', 'json')) as T;
}

/** What kubectl says when it fails. */
export async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (thrown) {
    return String((thrown as { stderr?: string }).stderr ?? thrown);
  }
  return '';
}

/** @throws if there is no cluster */
export function needCluster(): void {
  if (!isClusterThere()) throw new Error('these tests need a cluster that kubectl reaches');
}

export const rollout = (namespace: string, deployment: string): Promise<string> =>
  kubectl('-n', namespace, 'rollout', 'status', `deployment/${deployment}`, '--timeout=240s');

type PodList = { items: PodObject[] };
export type PodObject = {
  metadata: { name: string; creationTimestamp: string; deletionTimestamp?: string };
  spec: { initContainers?: { name: string }[]; containers: { name: string; ports?: unknown[] }[] };
  status: {
    podIP?: string;
    podIPs?: { ip: string }[];
    conditions?: { type: string; status: string; lastTransitionTime: string }[];
    initContainerStatuses?: { name: string; ready: boolean; restartCount: number }[];
  };
};

/** The running pods of an app. */
export async function podsOf(namespace: string, app: string): Promise<PodObject[]> {
  const { items } = await get<PodList>('-n', namespace, 'pods', '-l', `app=${app}`);
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

export const restricted = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
  runAsNonRoot: true,
  runAsUser: 1000,
};

/** Asks until the answer is the wanted one. */
export const until = (what: string, ask: () => Promise<boolean>, timeoutMs = 120_000): Promise<true> =>
  eventually(what, async () => ((await ask()) ? true : undefined), timeoutMs);

/** Makes an account in an identity that runs in the cluster. */
export async function addUser(
  at: { namespace: string; deployment: string; config: string },
  name: string,
  password: string,
): Promise<void> {
  const exec = ['-n', at.namespace, 'exec', '-i', `deploy/${at.deployment}`, '--'];
  const command = ['/nodejs/bin/node', '/app/curfew.mjs', 'user', 'add', name, '--config', at.config];
  await kubectlWith(`${password}\n`, ...exec, ...command);
}

/** Runs a program of Node in a container of ours, or of the application. */
export const execNode = (
  at: { namespace: string; pod: string; container: string; node?: string },
  program: string,
): Promise<string> => {
  const { namespace, pod, container, node = '/nodejs/bin/node' } = at;
  return kubectl('-n', namespace, 'exec', pod, '-c', container, '--', node, '-e', program);
};

/** Ends the authorizer of a pod, as its kubelet would; it is restarted. */
export const endAuthorizer = (namespace: string, pod: string): Promise<string> =>
  execNode({ namespace, pod, container: 'curfew-authorizer' }, 'process.kill(1)');

/** Waits until they are gone, so that the next tests may make them again. */
export const deleteNamespaces = (...names: readonly string[]): Promise<string> =>
  kubectl('delete', 'namespace', ...names, '--ignore-not-found', '--timeout=300s');

/** Restarts a Deployment, and waits until its new pods are ready and its old ones gone. */
export async function restart(namespace: string, deployment: string): Promise<void> {
  type Deployment = { spec: { selector: { matchLabels: Record<string, string> } } };
  const { spec } = await get<Deployment>('-n', namespace, 'deployment', deployment);
  const labels = Object.entries(spec.selector.matchLabels).map(([name, value]) => `${name}=${value}`);
  const before = await kubectl('-n', namespace, 'get', 'pods', '-l', labels.join(','), '-o', 'name');
  await kubectl('-n', namespace, 'rollout', 'restart', `deployment/${deployment}`);
  await rollout(namespace, deployment);
  await kubectl('-n', namespace, 'wait', '--for=delete', ...before.split('\n'), '--timeout=120s');
}
