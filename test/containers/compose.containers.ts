import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { neverPrinted, outputFile } from '../output.ts';
import { eventually, freePort, repository } from '../processes.ts';
import { composeCommand, statusOf } from './docker.ts';

const password = 'correct horse battery staple';
const project = `curfew-${randomBytes(4).toString('hex')}`;
let env: Record<string, string>;
let orders: string;
let identity: string;

/** Runs compose on the repository's compose.yaml. Rejects when it fails. */
async function compose(args: readonly string[], input = ''): Promise<string> {
  const [command = '', ...first] = composeCommand() ?? [];
  const child = spawn(command, [...first, ...args], { cwd: repository, env: { ...process.env, ...env } });
  child.stdin.end(input);
  const ended = Promise.withResolvers<number | null>();
  child.on('close', ended.resolve);
  child.on('error', ended.reject);
  const [code, stdout, stderr] = await Promise.all([ended.promise, text(child.stdout), text(child.stderr)]);
  if (code !== 0)
    throw new Error(`compose ${args.join(' ')} ended with ${code}:\n${(stdout + stderr).slice(-4000)}`);
  return stdout;
}

async function post(path: string, form: Record<string, string>): Promise<Record<string, string>> {
  const body = new URLSearchParams({ client_id: 'cli', ...form });
  const response = await fetch(`${identity}${path}`, { method: 'POST', body });
  const answer = await response.text();
  expect({ path, status: response.status }).toEqual({ path, status: 200 });
  return (answer === '' ? {} : JSON.parse(answer)) as Record<string, string>;
}

beforeAll(async () => {
  neverPrinted(password);
  const [port, identityPort] = [await freePort(), await freePort()];
  env = {
    COMPOSE_PROJECT_NAME: project,
    CURFEW_PORT: String(port),
    CURFEW_IDENTITY_PORT: String(identityPort),
  };
  orders = `http://localhost:${port}/orders`;
  identity = `http://localhost:${identityPort}`;
  await compose(['up', '--build', '--detach']);
  await eventually('the service asks for a token', async () =>
    (await statusOf(orders)) === 401 ? true : undefined,
  );
  await eventually('identity answers', async () =>
    (await statusOf(`${identity}/.well-known/openid-configuration`)) === 200 ? true : undefined,
  );
});

afterAll(async () => {
  writeFileSync(outputFile(project), await compose(['logs', '--no-color']));
  await compose(['down', '--volumes', '--timeout', '10']);
});

describe('docker compose up', () => {
  it('plays the demo: an account, a login, an allowed request, a logout, and the same token refused', async () => {
    await compose(
      ['run', '--rm', '-T', 'user', 'add', 'demo', '--config', '/etc/curfew/identity.yaml'],
      `${password}\n`,
    );
    const tokens = await post('/token', {
      grant_type: 'urn:curfew:grant-type:login',
      username: 'demo',
      password,
    });
    const { access_token: jwt = '', refresh_token: refresh = '' } = tokens;
    neverPrinted(jwt, refresh);
    const headers = { authorization: `Bearer ${jwt}`, 'x-auth-subject': 'somebody-else' };
    const allowed = await fetch(orders, { headers });
    const seen = (await allowed.json()) as { identityHeaders: Record<string, string> };
    expect(allowed.status).toBe(200);
    expect(seen.identityHeaders['x-auth-subject']).toMatch(/^[0-9a-f-]{36}$/);
    await post('/token/revocation', { token: refresh });
    expect(await statusOf(orders, headers)).toBe(401);
  });
});
