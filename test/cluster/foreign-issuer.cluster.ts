import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { neverPrinted } from '../output.ts';
import { startClient, type Answer, type Client } from './client.ts';
import { certManager, installSchemas, removeSchemas } from './custom-resources.ts';
import { startForeignIssuer, type ForeignIssuer } from './foreign-issuer.ts';
import { chart, helm, render, valuesFile } from './helm.ts';
import { version } from './images.ts';
import { apply, deleteNamespaces, kubectl, needCluster, podsOf, rollout, until } from './kubectl.ts';
import { namespace, redis, workload } from './workloads.ts';

const redisPassword = 'redis-password-3/with@signs';
const added = { issuer: 'https://second.example', audiences: ['orders'] };
const redisUrl = 'redis://redis.data:6379';
const webhookSecret = randomBytes(32);
const webhook = `whsec_${webhookSecret.toString('base64')}`;

let client: Client;
let issuer: ForeignIssuer;

beforeAll(async () => {
  neverPrinted(redisPassword, webhook);
  needCluster();
  await apply(namespace('curfew'), namespace('data'), namespace('outside'));
  await apply(namespace('shop', { 'curfew/inject': 'enabled' }));
  await apply(...redis('data', 'redis', '--requirepass', redisPassword));
  issuer = await startForeignIssuer();
  await rollout('data', 'redis');
  client = await startClient('outside');
});

afterAll(async () => {
  client?.close();
  await helm('uninstall', 'curfew', '-n', 'curfew', '--ignore-not-found', '--wait');
  await removeSchemas(certManager);
  await deleteNamespaces('curfew', 'shop', 'outside', 'data', 'idp');
});

const values = (): Record<string, unknown> => ({
  issuers: [issuer.values],
  redis: { url: redisUrl, password: redisPassword },
  revocation: { maxExposure: '10s' },
  injector: { namespaces: ['shop'], replicas: 1 },
});

const release = (
  verb: 'install' | 'upgrade',
  changed: Record<string, unknown> = {},
  timeout = '4m',
): Promise<string> => {
  const file = valuesFile({ ...values(), ...changed });
  return helm(verb, 'curfew', chart, '-n', 'curfew', '--values', file, '--wait', '--timeout', timeout);
};

const ask = (token: string): Promise<Answer> =>
  client.request('http://files.shop.svc/etc', { headers: { authorization: `Bearer ${token}` } });

/** A token that is let in. One of before a cut-off isn't, so it is asked for until then. */
async function acceptedToken(session: string): Promise<string> {
  let token = await issuer.token(session);
  await until('a new token is let in', async () => {
    token = await issuer.token(session);
    return (await ask(token)).status === 200;
  });
  return token;
}

/** Runs a command of ours beside the release, as an operator does. */
async function curfew(...args: readonly string[]): Promise<string> {
  const name = `curfew-${randomUUID()}`;
  const container = {
    name: 'curfew',
    image: `curfew-cli:${version}`,
    args,
    env: [{ name: 'CURFEW__REVOCATION__REDIS__PASSWORD', value: redisPassword }],
  };
  const spec = { restartPolicy: 'Never', containers: [container] };
  await apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'data' }, spec });
  const end = '--for=jsonpath={.status.phase}=Succeeded';
  await kubectl('-n', 'data', 'wait', end, `pod/${name}`, '--timeout=120s');
  return kubectl('-n', 'data', 'logs', name);
}

const epoch = async (): Promise<unknown> =>
  (JSON.parse(await curfew('log', 'show', '--redis', redisUrl, '--json')) as { epoch: number }).epoch;

describe('a release without an owner of the log', () => {
  it('creates the log, so that a token older than maxExposure is allowed, and a revoked one refused', async () => {
    await release('install');
    await apply(...workload({ name: 'files', namespace: 'shop' }));
    await rollout('shop', 'files');
    const [revoked, other] = [await acceptedToken('session-1'), await acceptedToken('session-2')];
    const accepted = Date.now();
    await until('the token is older than maxExposure', async () => Date.now() - accepted > 11_000);
    expect((await ask(revoked)).status).toBe(200);
    await curfew('revoke', 'session', 'session-1', '--redis', redisUrl);
    await until('the token is refused', async () => (await ask(revoked)).status === 401);
    expect((await ask(other)).status).toBe(200);
  });

  it('does not change the log at an upgrade', async () => {
    const before = await epoch();
    const token = await acceptedToken('session-3');
    await release('upgrade', { injector: { namespaces: ['shop'], replicas: 2 } });
    expect(await epoch()).toBe(before);
    expect((await ask(token)).status).toBe(200);
  });

  it('says at an upgrade why the existing log does not fit, and creates another once its head is gone', async () => {
    const changed = { issuers: [issuer.values, added] };
    // The job itself would try for longer.
    await expect(release('upgrade', changed, '90s')).rejects.toThrow('post-upgrade');
    const said = await kubectl('-n', 'curfew', 'logs', 'job/curfew-create-log');
    expect(said).toContain('it does not cover https://second.example');
    const redisCli = ['redis-cli', '-a', redisPassword, 'del', '{curfew}:head'];
    await kubectl('-n', 'data', 'exec', 'deploy/redis', '--', ...redisCli);
    await release('upgrade', changed);
    expect((await ask(await acceptedToken('session-6'))).status).toBe(200);
  });
});

describe('a release with the relay', () => {
  const deliver = (session: string, key: Buffer): Promise<Answer> => {
    const body = JSON.stringify({ events: [{ kind: 'session', id: session }] });
    const id = randomUUID();
    const timestamp = String(Math.floor(Date.now() / 1000));
    const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
    return client.request('http://curfew-relay.curfew.svc:8081/hook', {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': `v1,${signature}`,
      },
    });
  };

  it('takes the log over without a restart of the pods, and refuses the subject of a signed notice', async () => {
    const before = await podsOf('shop', 'files');
    const path = '/hook';
    const receivers = [{ kind: 'webhook', path, issuer: issuer.values.issuer, secrets: [webhook] }];
    const database = { sqlite: { persistence: { enabled: false } } };
    await release('upgrade', {
      issuers: [issuer.values, added],
      relay: { enabled: true, receivers, database },
    });
    const token = await acceptedToken('session-4');
    expect((await deliver('session-4', randomBytes(32))).status).toBe(400);
    expect((await ask(token)).status).toBe(200);
    expect((await deliver('session-4', webhookSecret)).status).toBe(204);
    await until('the token is refused', async () => (await ask(token)).status === 401);
    await acceptedToken('session-5');
    const after = await podsOf('shop', 'files');
    expect(after.map(({ metadata }) => metadata.name)).toEqual(before.map(({ metadata }) => metadata.name));
  });

  it('passes its own test', async () => {
    expect(await helm('test', 'curfew', '-n', 'curfew', '--timeout', '3m')).toContain('Succeeded');
  });
});

describe("cert-manager's certificate", () => {
  // The schemas are cert-manager's; what its controllers would do with the objects, the test does.
  it('is requested by objects that cert-manager accepts, and used when it exists', async () => {
    await installSchemas(certManager);
    const issued = (await render(values())).find(({ metadata }) => metadata.name === 'curfew-injector-tls');
    const changed = { ...values(), injector: { namespaces: ['shop'], certManager: { enabled: true } } };
    await helm('upgrade', 'curfew', chart, '-n', 'curfew', '--values', valuesFile(changed));
    const asked = await kubectl('-n', 'curfew', 'get', 'certificates', '-o', 'jsonpath={..secretName}');
    expect(asked.split(' ')).toContain('curfew-injector-tls');
    if (issued === undefined) throw new Error('no certificate was rendered');
    const { apiVersion, kind, data } = issued;
    await apply({ apiVersion, kind, metadata: { name: 'curfew-injector-tls', namespace: 'curfew' }, data });
    const caBundle = data?.['ca.crt'];
    const patch = [0, 1].map((at) => ({
      op: 'add',
      path: `/webhooks/${at}/clientConfig/caBundle`,
      value: caBundle,
    }));
    const name = 'mutatingwebhookconfiguration/curfew-injector-curfew';
    await kubectl('patch', name, '--type=json', `--patch=${JSON.stringify(patch)}`);
    await rollout('curfew', 'curfew-injector');
    await apply(...workload({ name: 'late', namespace: 'shop' }));
    await rollout('shop', 'late');
    const [pod] = await podsOf('shop', 'late');
    expect(pod?.spec.initContainers?.length).toBe(3);
  });
});
