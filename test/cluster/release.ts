import { expect } from 'vitest';
import { neverPrinted } from '../output.ts';
import { startClient, type Answer, type Client } from './client.ts';
import { chart, helm, valuesFile } from './helm.ts';
import {
  addUser,
  apply,
  deleteNamespaces,
  needCluster,
  podsOf,
  rollout,
  until,
  type PodObject,
} from './kubectl.ts';
import { namespace, postgres, workload } from './workloads.ts';

export const issuer = 'http://curfew-identity.curfew.svc:8080';
const password = 'correct horse battery staple';
const databasePassword = 'database-password-2';

export const identityValues = {
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
};

const values = {
  redis: { bundled: { enabled: true } },
  injector: { namespaces: ['shop', 'strict'] },
  identity: identityValues,
};

/** Installs or upgrades it, and waits until it runs. */
export const install = (
  verb: 'install' | 'upgrade',
  changed: Record<string, unknown> = {},
): Promise<string> => {
  const file = valuesFile({ ...values, ...changed });
  return helm(verb, 'curfew', chart, '-n', 'curfew', '--values', file, '--wait', '--timeout', '4m');
};

/** Services that know nothing of tokens, at their Services. */
export const files = 'http://files.shop.svc/etc';
export const proxied = 'http://proxied.strict.svc/etc';
export const bare = 'http://bare.plain.svc/etc';

/**
 * Curfew with identity, PostgreSQL and the bundled Redis; `files` in the labelled namespace `shop`, `proxied`
 * in `strict` (Pod Security restricted), `bare` in `plain`, which nobody labelled.
 */
export async function startRelease(): Promise<Client> {
  neverPrinted(password, databasePassword);
  needCluster();
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
  const config = '/etc/curfew/config/identity.yaml';
  await addUser({ namespace: 'curfew', deployment: 'curfew-identity', config }, 'demo', password);
  const proxy = { 'curfew/capture': 'proxy', 'curfew/ports': 'http' };
  await apply(
    ...workload({ name: 'files', namespace: 'shop', annotations: { 'curfew/open-ports': 'metrics' } }),
    ...workload({ name: 'proxied', namespace: 'strict', annotations: proxy }),
    ...workload({ name: 'bare', namespace: 'plain' }),
  );
  await Promise.all([rollout('shop', 'files'), rollout('strict', 'proxied'), rollout('plain', 'bare')]);
  const client = await startClient('outside');
  await reach(client, { url: files, status: 401 });
  await reach(client, { url: proxied, status: 401 });
  await reach(client, { url: bare, status: 200 });
  return client;
}

/**
 * Asks until a Service leads to its pod: a node's name server and its rules for Services learn of a ready pod
 * a little later. What is protected must not answer anything else than a refusal on the way.
 */
async function reach(client: Client, { url, status }: { url: string; status: number }): Promise<void> {
  const others: string[] = [];
  await until(`${url} answers ${status}`, async () => {
    const answer = await client.request(url);
    if (answer.status === status) return true;
    others.push(answer.error ?? `${answer.status} ${answer.body.slice(0, 100)}`);
    return answer.status !== 0 && answer.status < 400;
  });
  if (others.length > 0) console.log(`${url} was reached after: ${[...new Set(others)].join('; ')}`);
  expect(others.filter((other) => /^[123]/.test(other))).toEqual([]);
}

/** A release that is gone already is none to remove. */
export async function stopRelease(): Promise<void> {
  await helm('uninstall', 'curfew', '-n', 'curfew', '--ignore-not-found', '--wait');
  await deleteNamespaces('curfew', 'shop', 'strict', 'outside', 'data', 'plain');
}

export type Tokens = { access_token: string; refresh_token: string };

/** Reads the answer of a token endpoint. */
export function tokensOf({ status, body }: Answer): Tokens {
  expect(status).toBe(200);
  const tokens = JSON.parse(body) as Tokens;
  neverPrinted(tokens.access_token, tokens.refresh_token);
  return tokens;
}

export async function login(client: Client): Promise<Tokens> {
  const form = { grant_type: 'urn:curfew:grant-type:login', client_id: 'cli', username: 'demo', password };
  return tokensOf(await client.request(`${issuer}/token`, { form }));
}

export const refresh = async (client: Client, { refresh_token }: Tokens): Promise<Tokens> =>
  tokensOf(
    await client.request(`${issuer}/token`, {
      form: { grant_type: 'refresh_token', client_id: 'cli', refresh_token },
    }),
  );

export const logout = (client: Client, { refresh_token }: Tokens): Promise<Answer> =>
  client.request(`${issuer}/token/revocation`, { form: { client_id: 'cli', token: refresh_token } });

export const bearer = ({ access_token }: Pick<Tokens, 'access_token'>): Record<string, string> => ({
  authorization: `Bearer ${access_token}`,
});

export async function onlyPod(namespaceName: string, app: string): Promise<PodObject> {
  const [pod] = await podsOf(namespaceName, app);
  if (pod === undefined) throw new Error(`no pod of ${app}`);
  return pod;
}

export const urlHost = (ip: string): string => (ip.includes(':') ? `[${ip}]` : ip);
