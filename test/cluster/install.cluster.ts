import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { neverPrinted } from '../output.ts';
import { chart, helm, valuesFile } from './helm.ts';
import {
  addUser,
  apply,
  failure,
  get,
  kubectl,
  loadImages,
  podsOf,
  restricted,
  rollout,
  startClient,
  until,
  nodeImage,
  type Answer,
  type Client,
  type PodObject,
} from './kubectl.ts';
import { namespace, postgres, workload } from './workloads.ts';

const issuer = 'http://curfew-identity.curfew.svc:8080';
const password = 'correct horse battery staple';
const databasePassword = 'database-password-2';
const redisPassword = 'readers-password-3';
neverPrinted(password, databasePassword, redisPassword);

const values = {
  redis: { bundled: { enabled: true } },
  injector: { namespaces: ['shop', 'strict'] },
  identity: {
    enabled: true,
    issuer,
    database: { postgres: { url: `postgres://curfew:${databasePassword}@postgres.data.svc:5432/curfew` } },
    clients: [
      {
        client_id: 'cli',
        token_endpoint_auth_method: 'none',
        grant_types: ['urn:curfew:grant-type:login', 'refresh_token'],
      },
    ],
    resources: { orders: { scopes: ['read', 'write'] } },
  },
};

const namespaces = ['curfew', 'shop', 'strict', 'outside', 'data', 'plain'];
let client: Client;

const install = (verb: 'install' | 'upgrade', changed: Record<string, unknown> = {}): Promise<string> =>
  helm(
    verb,
    'curfew',
    chart,
    '-n',
    'curfew',
    '--values',
    valuesFile({ ...values, ...changed }),
    '--wait',
    '--timeout',
    '3m',
  );

beforeAll(async () => {
  loadImages();
  await apply(
    namespace('curfew', { 'pod-security.kubernetes.io/enforce': 'restricted' }),
    namespace('data'),
    namespace('outside'),
    namespace('plain'),
    namespace('shop', { 'curfew/inject': 'enabled' }),
    namespace('strict', { 'curfew/inject': 'true', 'pod-security.kubernetes.io/enforce': 'restricted' }),
  );
  await apply(...postgres('data', databasePassword));
  await rollout('data', 'postgres');
  await install('install');
  client = await startClient('outside');
  const config = '/etc/curfew/config/identity.yaml';
  await addUser({ namespace: 'curfew', deployment: 'curfew-identity', config }, 'demo', password);
  await apply(
    ...workload({ name: 'files', namespace: 'shop', annotations: { 'curfew/open-ports': 'metrics' } }),
  );
  await apply(
    ...workload({
      name: 'proxied',
      namespace: 'strict',
      annotations: { 'curfew/capture': 'proxy', 'curfew/ports': 'http' },
    }),
  );
  await apply(...workload({ name: 'bare', namespace: 'plain' }));
  await Promise.all([rollout('shop', 'files'), rollout('strict', 'proxied'), rollout('plain', 'bare')]);
});

afterAll(async () => {
  await kubectl('delete', 'namespace', ...namespaces, '--ignore-not-found', '--wait=false').catch(
    () => undefined,
  );
});

type Tokens = { access_token: string; refresh_token: string };

async function login(): Promise<Tokens> {
  const { status, body } = await client.request(`${issuer}/token`, {
    form: { grant_type: 'urn:curfew:grant-type:login', client_id: 'cli', username: 'demo', password },
  });
  expect(status).toBe(200);
  const tokens = JSON.parse(body) as Tokens;
  neverPrinted(tokens.access_token, tokens.refresh_token);
  return tokens;
}

const logout = (tokens: Tokens): Promise<Answer> =>
  client.request(`${issuer}/token/revocation`, { form: { client_id: 'cli', token: tokens.refresh_token } });

const ask = (url: string, tokens?: Tokens): Promise<Answer> =>
  client.request(
    url,
    tokens === undefined ? {} : { headers: { authorization: `Bearer ${tokens.access_token}` } },
  );

const files = 'http://files.shop.svc/etc';
const proxied = 'http://proxied.strict.svc/etc';

async function onlyPod(namespaceName: string, app: string): Promise<PodObject> {
  const [pod] = await podsOf(namespaceName, app);
  if (pod === undefined) throw new Error(`no pod of ${app}`);
  return pod;
}

const urlHost = (ip: string): string => (ip.includes(':') ? `[${ip}]` : ip);

describe('an unmodified service in a labelled namespace', () => {
  it('has the sidecars, in order, before it', async () => {
    const pod = await onlyPod('shop', 'files');
    expect(pod.spec.initContainers?.map(({ name }) => name)).toEqual([
      'curfew-redirect',
      'curfew-authorizer',
      'curfew-envoy',
    ]);
    expect(pod.spec.containers.map(({ name }) => name)).toEqual(['files']);
  });

  it('refuses without a token, lets a login in, and refuses the same token after logout', async () => {
    expect((await ask(files)).status).toBe(401);
    const tokens = await login();
    const allowed = await ask(files, tokens);
    expect(allowed.status).toBe(200);
    const { headers, from } = JSON.parse(allowed.body) as { headers: Record<string, string>; from: string };
    expect(headers['x-auth-issuer']).toBe(issuer);
    expect(from).not.toMatch(/127\.0\.0\.1$|^::1$/);
    expect((await logout(tokens)).status).toBe(200);
    const refused = await ask(files, tokens);
    expect([refused.status, refused.headers['www-authenticate']]).toEqual([
      401,
      expect.stringContaining('invalid_token'),
    ]);
  });

  it('lets no header through that only the authorizer may set', async () => {
    const tokens = await login();
    const { body } = await client.request(files, {
      headers: {
        authorization: `Bearer ${tokens.access_token}`,
        'x-auth-subject': 'root',
        x_auth_role: 'admin',
      },
    });
    const { headers } = JSON.parse(body) as { headers: Record<string, string> };
    expect(headers['x-auth-subject']).not.toBe('root');
    expect(headers['x_auth_role']).toBeUndefined();
  });

  it("is as closed at each of its pod's own addresses", async () => {
    const { status } = await onlyPod('shop', 'files');
    for (const { ip } of status.podIPs ?? []) {
      expect((await ask(`http://${urlHost(ip)}:8080/etc`)).status).toBe(401);
      expect((await ask(`http://${urlHost(ip)}:9090/metrics`)).status).toBe(200);
      expect((await ask(`http://${urlHost(ip)}:7070/`)).error).toBe('ECONNREFUSED');
      expect((await ask(`http://${urlHost(ip)}:19002/`)).error).toBe('ECONNREFUSED');
    }
  });

  it('is probed without its probe path being public', async () => {
    const { status } = await onlyPod('shop', 'files');
    expect(status.conditions?.find(({ type }) => type === 'Ready')?.status).toBe('True');
    expect((await ask('http://files.shop.svc/ready?full=1')).status).toBe(401);
    expect((await ask(`http://${urlHost(status.podIP ?? '')}:19000/ready/full`)).status).toBe(404);
  });

  it('refuses everything while its authorizer restarts, and recovers', async () => {
    const pod = await onlyPod('shop', 'files');
    const tokens = await login();
    const exec = [
      '-n',
      'shop',
      'exec',
      pod.metadata.name,
      '-c',
      'curfew-authorizer',
      '--',
      '/nodejs/bin/node',
      '-e',
    ];
    await kubectl(...exec, 'process.kill(1)');
    await until('the authorizer was restarted', async () => {
      const { status } = await onlyPod('shop', 'files');
      return (
        status.initContainerStatuses?.some(
          ({ name, restartCount }) => name === 'curfew-authorizer' && restartCount > 0,
        ) === true
      );
    });
    expect((await ask(`http://${urlHost(pod.status.podIP ?? '')}:8080/etc`)).status).not.toBe(200);
    await until('it answers again', async () => (await ask(files, tokens)).status === 200);
    expect((await ask(files)).status).toBe(401);
  });
});

describe('a namespace of level restricted, with proxy capture', () => {
  it('protects by its Service', async () => {
    expect((await ask(proxied)).status).toBe(401);
    expect((await ask(proxied, await login())).status).toBe(200);
  });

  it("closes the application's own port by policy", async () => {
    const { status } = await onlyPod('strict', 'proxied');
    const answer = await ask(`http://${urlHost(status.podIP ?? '')}:8080/etc`);
    expect(answer).toMatchObject({ status: 0 });
  });
});

describe('a pod that cannot be protected', () => {
  const podIn = (namespaceName: string, spec: object, metadata: object = {}): object => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'refused', namespace: namespaceName, ...metadata },
    spec: { containers: [{ name: 'web', image: nodeImage, ports: [{ containerPort: 8080 }] }], ...spec },
  });

  it('is not started, and its author is told why', async () => {
    expect(await failure(apply(podIn('shop', { hostNetwork: true })))).toContain('curfew: host_network: ');
    expect(await failure(apply(podIn('shop', {}, { annotations: { 'curfew/port': '1' } })))).toContain(
      'curfew: invalid_annotation: curfew/port ',
    );
  });

  it('leaves the reason in the events of its ReplicaSet', async () => {
    const [deployment] = workload({
      name: 'wrong',
      namespace: 'shop',
      annotations: { 'curfew/ports': 'nowhere' },
    });
    await apply(deployment ?? {});
    const isTold = async (): Promise<boolean> =>
      (await kubectl('-n', 'shop', 'get', 'events')).includes('curfew: unknown_port: ');
    expect(await until('the event is there', isTold)).toBe(true);
    await kubectl('-n', 'shop', 'delete', 'deployment', 'wrong');
  });

  it('is let alone where nobody asked for protection', async () => {
    const pod = await onlyPod('plain', 'bare');
    expect(pod.spec.initContainers).toBeUndefined();
    expect((await ask('http://bare.plain.svc/etc')).status).toBe(200);
  });

  it('is protected by its own label in any namespace', async () => {
    await apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'labelled', namespace: 'plain', labels: { 'curfew/inject': 'enabled' } },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: 'web',
            image: nodeImage,
            command: ['node', '-e', 'setInterval(() => {}, 1e9)'],
            ports: [{ containerPort: 8080 }],
            securityContext: restricted,
          },
        ],
      },
    });
    const { spec } = await get<PodObject>('-n', 'plain', 'pod', 'labelled');
    expect(spec.initContainers?.length).toBe(3);
    await kubectl('-n', 'plain', 'delete', 'pod', 'labelled');
  });
});

describe('under load', () => {
  const load = `
const [url, issuer, refresh, seconds] = process.argv.slice(1);
let token = refresh;
let access;
const count = { allowed: 0, refused: 0, failed: {}, leaked: 0 };
const note = (what) => (count.failed[what] = (count.failed[what] ?? 0) + 1);
async function renew() {
  for (;;) {
    try {
      const r = await fetch(issuer + '/token', { method: 'POST', signal: AbortSignal.timeout(3000), body: new URLSearchParams({ grant_type: 'refresh_token', client_id: 'cli', refresh_token: token }) });
      if (r.ok) { const body = await r.json(); token = body.refresh_token; access = body.access_token; return; }
    } catch {}
    await new Promise((wake) => setTimeout(wake, 200));
  }
}
async function once(withToken) {
  try {
    const r = await fetch(url, { headers: withToken ? { authorization: 'Bearer ' + access } : {}, signal: AbortSignal.timeout(3000) });
    await r.text();
    if (!withToken) { if (r.status === 200) count.leaked += 1; return; }
    if (r.status === 200) count.allowed += 1; else { count.refused += 1; note(r.status); }
  } catch (e) { if (withToken) note(e.cause?.code ?? e.name); }
}
(async () => {
  await renew();
  const end = Date.now() + Number(seconds) * 1000;
  let renewed = Date.now();
  while (Date.now() < end) {
    if (Date.now() - renewed > 15000) { renewed = Date.now(); await renew(); }
    await Promise.all([once(true), once(true), once(true), once(false)]);
    await new Promise((wake) => setTimeout(wake, 10));
  }
  console.log(JSON.stringify(count));
})();`;

  it.each([
    ['the application', 'shop', 'files'],
    ['identity', 'curfew', 'curfew-identity'],
    ['Redis', 'curfew', 'curfew-redis'],
    ['the injector', 'curfew', 'curfew-injector'],
  ])(
    'a restart of %s lets nothing through wrongly and fails no request',
    async (_what, namespaceName, deployment) => {
      const tokens = await login();
      const running = client.script(load, files, issuer, tokens.refresh_token, '30');
      await kubectl('-n', namespaceName, 'rollout', 'restart', `deployment/${deployment}`);
      await rollout(namespaceName, deployment);
      const count = JSON.parse(await running) as {
        allowed: number;
        leaked: number;
        failed: Record<string, number>;
      };
      console.log(`restart of ${deployment}: ${JSON.stringify(count)}`);
      expect(count).toMatchObject({ leaked: 0, failed: {} });
      expect(count.allowed).toBeGreaterThan(100);
    },
  );
});

describe('the release', () => {
  it('passes its own test', async () => {
    expect(await helm('test', 'curfew', '-n', 'curfew', '--timeout', '2m')).toContain('Succeeded');
  });

  it('keeps sessions, and the certificate, over an upgrade and a rollback', async () => {
    const tokens = await login();
    const certificate = (): Promise<string> =>
      kubectl('-n', 'curfew', 'get', 'secret', 'curfew-injector-tls', '-o', 'jsonpath={.data.tls\\.crt}');
    const before = await certificate();
    await install('upgrade', { revocation: { maxExposure: '20s' } });
    expect(await certificate()).toBe(before);
    await helm('rollback', 'curfew', '1', '-n', 'curfew', '--wait', '--timeout', '3m');
    expect(await certificate()).toBe(before);
    const renewed = await client.request(`${issuer}/token`, {
      form: { grant_type: 'refresh_token', client_id: 'cli', refresh_token: tokens.refresh_token },
    });
    expect(renewed.status).toBe(200);
    expect((await ask(files, JSON.parse(renewed.body) as Tokens)).status).toBe(200);
  });

  it('tells what it costs', async () => {
    const timeToReady = ({ metadata, status }: PodObject): number => {
      const ready = status.conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime ?? '';
      return (Date.parse(ready) - Date.parse(metadata.creationTimestamp)) / 1000;
    };
    await kubectl('-n', 'shop', 'rollout', 'restart', 'deployment/files');
    await kubectl('-n', 'plain', 'rollout', 'restart', 'deployment/bare');
    await Promise.all([rollout('shop', 'files'), rollout('plain', 'bare')]);
    const newest = async (namespaceName: string, app: string): Promise<number> => {
      const pods = await podsOf(namespaceName, app);
      return Math.min(...pods.map(timeToReady));
    };
    console.log(
      `from creation to ready: ${await newest('shop', 'files')} s with Curfew, ${await newest('plain', 'bare')} s without`,
    );
    const { items } = await get<{ items: { metadata: { name: string } }[] }>('nodes');
    const summary = JSON.parse(
      await kubectl('get', '--raw', `/api/v1/nodes/${items[0]?.metadata.name ?? ''}/proxy/stats/summary`),
    ) as {
      pods: {
        podRef: { namespace: string };
        containers?: { name: string; memory?: { workingSetBytes?: number; rssBytes?: number } }[];
      }[];
    };
    const sidecars = summary.pods
      .filter(({ podRef }) => podRef.namespace === 'shop')
      .flatMap(({ containers = [] }) => containers)
      .map(({ name, memory }) => `${name} ${Math.round((memory?.workingSetBytes ?? 0) / 1_048_576)} MiB`);
    console.log(`memory (working set): ${sidecars.join(', ')}`);
    expect(sidecars.length).toBeGreaterThan(0);
  });

  it('leaves nothing when it is uninstalled', async () => {
    await helm('uninstall', 'curfew', '-n', 'curfew', '--wait', '--timeout', '2m');
    const kinds =
      'all,secrets,configmaps,serviceaccounts,networkpolicies,poddisruptionbudgets,persistentvolumeclaims';
    const left = (): Promise<string> =>
      kubectl('get', kinds, '-A', '-l', 'app.kubernetes.io/instance=curfew', '-o', 'name');
    // Helm doesn't wait for the pods' end.
    await until('the pods are gone', async () => !(await left()).includes('pod/')).catch(() => undefined);
    expect(await left()).toBe('');
    expect(await kubectl('get', 'mutatingwebhookconfigurations', '-o', 'name')).toBe('');
  });

  it('installs by the shortest line of the contract', async () => {
    const sets = [
      'issuers[0].issuer=https://idp',
      'issuers[0].audiences[0]=orders',
      'redis.url=redis://redis.data:6379',
    ];
    const flags = sets.flatMap((set) => ['--set', set]);
    await helm('install', 'curfew', chart, '-n', 'curfew', ...flags, '--wait', '--timeout', '2m');
    await kubectl('-n', 'shop', 'rollout', 'restart', 'deployment/files');
    const isClosed = async (): Promise<boolean> => [401, 503].includes((await ask(files)).status);
    expect(await until('the service is closed', isClosed)).toBe(true);
    await helm('uninstall', 'curfew', '-n', 'curfew', '--wait');
  });
});
