import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { neverPrinted } from '../output.ts';
import { repository } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { issueToken, jwkSetOf, testIssuer, testKey } from '../token/tokens.ts';
import { curfew as runCurfew } from './curfew.ts';

type Outcome = { exitCode: number | null; printed: string; warned: string };

function curfew(args: readonly string[], input = ''): Outcome {
  const { status, stdout, stderr } = spawnSync(join(repository, 'bin', 'curfew'), args, {
    input,
    encoding: 'utf8',
  });
  return { exitCode: status, printed: stdout, warned: stderr };
}

function configuration(): string {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'jwks.json'), jwkSetOf(testKey()));
  const file = join(directory, 'authorizer.yaml');
  const issuer = `{ issuer: "${testIssuer}", audiences: [orders], jwks: { file: "${directory}/jwks.json" } }`;
  writeFileSync(file, `issuers: [${issuer}]\n`);
  return file;
}

function tokenFor(claims: Record<string, unknown> = {}): string {
  const token = issueToken({ claims: { aud: 'orders', ...claims } });
  neverPrinted(token);
  return token;
}

/** A server of the test issuer's keys; a silent one takes requests and answers none. */
async function serveJwks({ isSilent = false } = {}): Promise<{ url: string }> {
  const server = createServer((_, response) => {
    if (!isSilent) response.setHeader('content-type', 'application/json').end(jwkSetOf(testKey()));
  });
  onTestFinished(() => {
    server.close().closeAllConnections();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe('curfew token inspect', () => {
  it('shows header and claims, and never the signature', () => {
    const token = tokenFor();
    const { exitCode, printed } = curfew(['token', 'inspect'], `  ${token}\n`);
    expect(exitCode).toBe(0);
    expect(printed).toContain('"typ": "at+jwt"');
    expect(printed).toContain(`"iss": "${testIssuer}"`);
    expect(printed).not.toContain(token.split('.')[2]);
  });

  it('says with a configuration that the authorizer would allow it', () => {
    const { exitCode, printed } = curfew(['token', 'inspect', '--config', configuration()], tokenFor());
    expect(printed).toContain('decision: allow');
    expect(exitCode).toBe(0);
  });

  it.each([
    ['no revocation', {}],
    ['a Redis that is away', { revocation: { redis: { url: 'redis://127.0.0.1:1' } } }],
  ])('decides with keys of a server and %s', async (_, settings) => {
    const server = await serveJwks();
    const file = join(temporaryDirectory(), 'authorizer.yaml');
    const jwks = { uri: `${server.url}/jwks.json` };
    writeFileSync(
      file,
      JSON.stringify({ issuers: [{ issuer: testIssuer, audiences: ['orders'], jwks }], ...settings }),
    );
    const { exitCode, printed, warned } = await runCurfew(['token', 'inspect', '--config', file], {
      input: tokenFor(),
    });
    expect({ exitCode, warned }).toEqual({ exitCode: 0, warned: '' });
    expect(printed).toContain('decision: allow');
  });

  it('says that no keys are known if their server does not answer', async () => {
    const silent = await serveJwks({ isSilent: true });
    const file = join(temporaryDirectory(), 'authorizer.yaml');
    const jwks = { uri: `${silent.url}/jwks.json`, timeout: '1s' };
    writeFileSync(file, JSON.stringify({ issuers: [{ issuer: testIssuer, audiences: ['orders'], jwks }] }));
    const { exitCode, printed } = await runCurfew(['token', 'inspect', '--config', file], {
      input: tokenFor(),
    });
    expect(exitCode).toBe(1);
    expect(printed).toContain('decision: deny');
  });

  it('says which rule refused, with the claim, what was expected and what was found', () => {
    const args = ['token', 'inspect', '--config', configuration(), '--json'];
    const { exitCode, printed } = curfew(args, tokenFor({ aud: 'billing' }));
    expect(exitCode).toBe(1);
    expect(JSON.parse(printed)).toMatchObject({
      decision: 'deny',
      reason: 'wrong_audience',
      claim: 'aud',
      expected: 'orders',
      found: 'billing',
    });
  });

  it('applies the policy of a route', () => {
    const args = ['token', 'inspect', '--config', configuration(), '--route', 'curfew.scopes=admin'];
    const { exitCode, printed } = curfew(args, tokenFor());
    expect([exitCode, printed]).toEqual([1, expect.stringContaining('insufficient_scope')]);
  });

  it('refuses input that is not a token, without repeating it', () => {
    const { exitCode, printed } = curfew(['token', 'inspect'], 'hunter2-hunter2');
    expect([exitCode, printed]).toEqual([1, 'header: cannot be read\nclaims: cannot be read\n']);
    expect(curfew(['token', 'inspect'], '').exitCode).toBe(2);
  });
});

describe('the command line', () => {
  it('exits with 2 for a wrong command, option or file, and says which', () => {
    expect(curfew(['sing'])).toMatchObject({
      exitCode: 2,
      warned: expect.stringContaining('no such command: sing') as string,
    });
    expect(curfew(['authorizer'])).toMatchObject({
      exitCode: 2,
      warned: expect.stringContaining('--config is missing') as string,
    });
    expect(curfew(['authorizer', '--confg', 'x'])).toMatchObject({
      exitCode: 2,
      warned: expect.stringContaining("'--confg'") as string,
    });
    expect(curfew(['identity', '--config', '/nonexistent.yaml'])).toMatchObject({
      exitCode: 2,
      warned: expect.stringContaining('/nonexistent.yaml') as string,
    });
  });

  it('checks a configuration without starting, for people and for machines', () => {
    expect(curfew(['config', 'check', 'authorizer', configuration()])).toMatchObject({ exitCode: 0 });
    const wrong = join(temporaryDirectory(), 'wrong.yaml');
    writeFileSync(wrong, 'issuers: []\nmod: shadow\n');
    const { exitCode, printed } = curfew(['config', 'check', 'authorizer', wrong, '--json']);
    const { problems } = JSON.parse(printed) as { problems: { path: string }[] };
    expect([exitCode, problems.map(({ path }) => path).sort()]).toEqual([2, ['issuers', 'mod']]);
  });

  it.each(['authorizer', 'identity'])('prints a JSON Schema of the configuration of %s', (program) => {
    const { exitCode, printed } = curfew(['config', 'schema', program]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(printed)).toMatchObject({ type: 'object', additionalProperties: false });
  });

  it("prints an Envoy configuration made from the authorizer's", () => {
    const args = [
      'envoy-config',
      '--config',
      configuration(),
      '--upstream',
      '127.0.0.1:3000',
      '--public',
      '/healthz',
      '--json',
    ];
    const { exitCode, printed } = curfew(args);
    expect(exitCode).toBe(0);
    expect(printed).toContain('"failure_mode_allow": false');
  });

  it('adds a user once, changes the password, lists sessions and disables', () => {
    const directory = temporaryDirectory();
    const file = join(directory, 'identity.yaml');
    writeFileSync(
      file,
      `issuer: http://localhost:8080
database: { sqlite: ${directory}/identity.db }
redis: { url: "redis://127.0.0.1:1" }
clients: [{ client_id: cli, token_endpoint_auth_method: none, grant_types: ["urn:curfew:grant-type:login"] }]
resources: { orders: {} }
`,
    );
    const password = 'a-password-of-this-test';
    neverPrinted(password);
    expect(curfew(['user', 'add', 'alice', '--config', file], `${password}\n`)).toMatchObject({
      exitCode: 0,
      printed: expect.stringContaining('user "alice" added') as string,
    });
    expect(curfew(['user', 'add', 'Alice', '--config', file], password)).toMatchObject({
      exitCode: 1,
      warned: expect.stringContaining('is taken') as string,
    });
    expect(curfew(['user', 'add', 'bob', '--config', file], 'short')).toMatchObject({
      exitCode: 2,
      warned: expect.stringContaining('at least 8 characters') as string,
    });
    expect(curfew(['user', 'passwd', 'alice', '--config', file], `${password}2\n`).exitCode).toBe(0);
    expect(curfew(['user', 'sessions', 'alice', '--config', file])).toMatchObject({
      exitCode: 0,
      printed: 'no sessions\n',
    });
    expect(curfew(['user', 'disable', 'alice', '--config', file]).exitCode).toBe(0);
    expect(curfew(['user', 'disable', 'nobody', '--config', file])).toMatchObject({
      exitCode: 1,
      warned: expect.stringContaining('no user "nobody"') as string,
    });
  });
});
