import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { eventually } from '../processes.ts';

const run = promisify(execFile);
export const repository = join(import.meta.dirname, '..', '..');

/** The images a cluster needs; the last ones are of others. */
const ourImages = ['authorizer', 'identity', 'relay', 'injector', 'redirect', 'cli'] as const;
export const version = '0.1.0';
export const nodeImage = 'node:24-bookworm-slim';
const otherImages = [nodeImage, 'redis:7', 'postgres:15', 'envoyproxy/envoy:v1.40.0'];

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

/**
 * Builds our images and brings them into the cluster by the command in `CURFEW_LOAD_IMAGES`, which gets their names as
 * arguments (`kind load docker-image`). Without it they have to be there.
 */
export function loadImages(): void {
  if (spawnSync('kubectl', ['version'], { stdio: 'ignore' }).status !== 0)
    throw new Error('these tests need a cluster that kubectl reaches');
  const load = process.env['CURFEW_LOAD_IMAGES'];
  if (load === undefined) return;
  const names = ourImages.map((name) => `curfew-${name}:${version}`);
  for (const [index, name] of ourImages.entries()) {
    const args = ['build', '--quiet', '--target', name, '--tag', names[index] ?? '', '.'];
    const built = spawnSync('docker', args, { cwd: repository, encoding: 'utf8' });
    if (built.status !== 0) throw new Error(`${name} does not build:\n${built.stderr.slice(-3000)}`);
  }
  const [command = '', ...args] = load.split(' ');
  const loaded = spawnSync(command, [...args, ...names, ...otherImages], { encoding: 'utf8' });
  if (loaded.status !== 0) throw new Error(`images were not loaded:\n${loaded.stderr.slice(-3000)}`);
}

export const rollout = (namespace: string, deployment: string): Promise<string> =>
  kubectl('-n', namespace, 'rollout', 'status', `deployment/${deployment}`, '--timeout=150s');

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

export type Answer = { status: number; headers: Record<string, string>; body: string; error?: string };

export type Asking = { headers?: Record<string, string>; form?: Record<string, string> };

/** Sends requests from a pod that nothing protects. */
export type Client = {
  request(url: string, options?: Asking): Promise<Answer>;
  /** Runs a program in it. */
  script(program: string, ...args: readonly string[]): Promise<string>;
};

const askProgram = `
const [url, options] = process.argv.slice(1);
const { headers = {}, form } = JSON.parse(options);
const init = { headers, redirect: 'manual', signal: AbortSignal.timeout(5000) };
if (form !== undefined) Object.assign(init, { method: 'POST', body: new URLSearchParams(form) });
fetch(url, init).then(
  async (r) => console.log(JSON.stringify({ status: r.status, headers: Object.fromEntries(r.headers), body: await r.text() })),
  (e) => console.log(JSON.stringify({ status: 0, headers: {}, body: '', error: e.cause?.code ?? e.name })),
);`;

/** Starts a pod to ask from. */
export async function startClient(namespace: string): Promise<Client> {
  await apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'client', namespace },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'client',
          image: nodeImage,
          command: ['node', '-e', 'setInterval(() => {}, 1e9)'],
          securityContext: restricted,
        },
      ],
    },
  });
  await kubectl('-n', namespace, 'wait', '--for=condition=Ready', 'pod/client', '--timeout=60s');
  const script = (program: string, ...args: readonly string[]): Promise<string> =>
    kubectl('-n', namespace, 'exec', 'client', '--', 'node', '-e', program, ...args);
  return {
    script,
    request: async (url, options = {}) =>
      JSON.parse(await script(askProgram, url, JSON.stringify(options))) as Answer,
  };
}

/** Asks until the answer is the wanted one. */
export const until = (what: string, ask: () => Promise<boolean>, timeoutMs = 60_000): Promise<true> =>
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
