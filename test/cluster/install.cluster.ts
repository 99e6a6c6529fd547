import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type Client } from './client.ts';
import { nodeImage } from './images.ts';
import {
  apply,
  endAuthorizer,
  execNode,
  failure,
  get,
  kubectl,
  restricted,
  until,
  type PodObject,
} from './kubectl.ts';
import {
  bare,
  bearer,
  files,
  issuer,
  login,
  logout,
  onlyPod,
  proxied,
  startRelease,
  stopRelease,
  urlHost,
  type Tokens,
} from './release.ts';
import { workload } from './workloads.ts';

let client: Client;

beforeAll(async () => {
  client = await startRelease();
});

afterAll(async () => {
  client?.close();
  await stopRelease();
});

const ask = (url: string, tokens?: Tokens): Promise<Answer> =>
  client.request(url, tokens === undefined ? {} : { headers: bearer(tokens) });

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
    expect(await ask(files)).toMatchObject({ status: 401 });
    const tokens = await login(client);
    const allowed = await ask(files, tokens);
    expect(allowed.status).toBe(200);
    const { headers, from } = JSON.parse(allowed.body) as { headers: Record<string, string>; from: string };
    expect(headers['x-auth-issuer']).toBe(issuer);
    expect(from).not.toMatch(/127\.0\.0\.1$|^::1$/);
    expect((await logout(client, tokens)).status).toBe(200);
    const refused = await ask(files, tokens);
    expect([refused.status, refused.headers['www-authenticate']]).toEqual([
      401,
      expect.stringContaining('invalid_token'),
    ]);
  });

  it('lets no header through that only the authorizer may set', async () => {
    const tokens = await login(client);
    const { body } = await client.request(files, {
      headers: {
        ...bearer(tokens),
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

  it('is as closed over IPv6 from its own link', async () => {
    const { metadata } = await onlyPod('shop', 'files');
    const address = await execNode(
      { namespace: 'shop', pod: metadata.name, container: 'files', node: 'node' },
      "console.log(Object.values(os.networkInterfaces()).flat().find((one) => one.address.startsWith('fe80:'))?.address ?? '')",
    );
    // A node without IPv6 has no second way in.
    if (address === '') return;
    const tokens = await login(client);
    const over = (port: number, headers: Record<string, string> = {}): Promise<Answer> =>
      client.request(`http://files.shop.svc:${port}/etc`, { host: `${address}%eth0`, headers });
    expect((await over(8080)).status).toBe(401);
    expect((await over(8080, bearer(tokens))).status).toBe(200);
    expect((await over(9090)).status).toBe(200);
    expect((await over(7070)).error).toBe('ECONNREFUSED');
  });

  it('is probed without its probe path being public', async () => {
    const { status } = await onlyPod('shop', 'files');
    expect(status.conditions?.find(({ type }) => type === 'Ready')?.status).toBe('True');
    expect((await ask('http://files.shop.svc/ready?full=1')).status).toBe(401);
    expect((await ask(`http://${urlHost(status.podIP ?? '')}:19000/ready/full`)).status).toBe(404);
  });

  it('refuses everything while its authorizer restarts, and recovers', async () => {
    const pod = await onlyPod('shop', 'files');
    const tokens = await login(client);
    await endAuthorizer('shop', pod.metadata.name);
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
    expect((await ask(proxied, await login(client))).status).toBe(200);
  });

  it("closes the application's own port by policy", async () => {
    const { status } = await onlyPod('strict', 'proxied');
    const answer = await ask(`http://${urlHost(status.podIP ?? '')}:8080/etc`);
    expect(answer).toMatchObject({ status: 0 });
  });
});

describe('the bundled Redis', () => {
  const connect = `require('node:net').connect(6379, 'curfew-redis.curfew.svc')
    .on('connect', () => { console.log('connected'); process.exit(); })
    .on('error', ({ code }) => { console.log(code); process.exit(); })
    .setTimeout(5000, () => { console.log('silence'); process.exit(); })`;

  it('is reached from protected pods, and by a policy from no others', async () => {
    const from = async (namespace: string, app: string): Promise<string> => {
      const { metadata } = await onlyPod(namespace, app);
      return execNode({ namespace, pod: metadata.name, container: 'files', node: 'node' }, connect);
    };
    expect(await from('shop', 'files')).toBe('connected');
    expect(await from('plain', 'bare')).not.toBe('connected');
  });
});

describe('a pod that cannot be protected', () => {
  const podIn = (namespaceName: string, spec: object, metadata: object = {}): object => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'refused', namespace: namespaceName, ...metadata },
    spec: { containers: [{ name: 'web', image: nodeImage, ports: [{ containerPort: 8080 }] }], ...spec },
  });

  it('is not started, and its author sees the reason', async () => {
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

  it('is not changed if nobody asked for protection', async () => {
    const pod = await onlyPod('plain', 'bare');
    expect(pod.spec.initContainers).toBeUndefined();
    expect((await ask(bare)).status).toBe(200);
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
