import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { identitySchema } from '../../src/config/identity.ts';
import { createClientThrottle } from '../../src/identity/endpoint/client-throttle.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { neverPrinted } from '../output.ts';
import { temporaryDirectory } from '../temporary.ts';
import { gatewaySecret, serviceSecret, startIdentity, type TestIdentity } from './identity-server.ts';

const wrong = 'a-wrong-secret-of-these-tests-of-clients';

type Attempt = { path?: string; clientId?: string; secret?: string; from?: string; post?: boolean };

describe('a client that authenticates', () => {
  let nowMs = 0;
  let identity: TestIdentity;

  beforeEach(async () => {
    nowMs = 0;
    neverPrinted(wrong);
    identity = await startIdentity(
      { trustedProxyHops: 1 },
      { clock: { ...systemClock, monotonicMs: () => nowMs } },
    );
  });
  afterEach(() => identity.stop());

  /** Asks for a client's own token, or whatever an endpoint gives. */
  async function attempt({
    path = '/token',
    clientId = 'gateway',
    secret = wrong,
    from = '192.0.2.1',
    post = false,
  }: Attempt): Promise<Response> {
    const fields = { grant_type: 'client_credentials', token: 'none' };
    const pair = `${encodeURIComponent(clientId)}:${encodeURIComponent(secret)}`;
    return await fetch(`${identity.issuer}${path}`, {
      method: 'POST',
      headers: {
        'x-forwarded-for': from,
        ...(post ? {} : { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }),
      },
      body: new URLSearchParams(post ? { ...fields, client_id: clientId, client_secret: secret } : fields),
    });
  }

  async function statuses(count: number, one: Attempt | ((index: number) => Attempt)): Promise<number[]> {
    const found: number[] = [];
    for (let index = 0; index < count; index += 1)
      found.push((await attempt(typeof one === 'function' ? one(index) : one)).status);
    return found;
  }

  const good = { secret: gatewaySecret };
  const paths = ['/token', '/token/introspection', '/token/revocation', '/device/auth', '/TOKEN/'];

  it('is throttled after ten wrong secrets at any endpoint, even with the right secret', async () => {
    expect(await statuses(10, (index) => ({ path: paths[index % paths.length] ?? '' }))).toEqual(
      Array.from({ length: 10 }, () => 401),
    );
    const answer = await attempt(good);
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '30']);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(await answer.json()).toMatchObject({ error: 'temporarily_unavailable' });
    for (const path of paths) expect((await attempt({ path, post: true })).status).toBe(429);

    nowMs += 30_000;
    expect((await attempt(good)).status).toBe(200);
    expect(await statuses(2, {})).toEqual([401, 429]);
  });

  it('throttles neither other clients at its address nor itself at other addresses', async () => {
    await statuses(11, {});
    expect((await attempt({ clientId: 'service', secret: serviceSecret })).status).toBe(200);
    expect((await attempt({ ...good, from: '192.0.2.2' })).status).toBe(200);
    const open = new URLSearchParams({ client_id: 'cli', token: 'none' });
    const headers = { 'x-forwarded-for': '192.0.2.1' };
    const revoked = await fetch(`${identity.issuer}/token/revocation`, {
      method: 'POST',
      headers,
      body: open,
    });
    expect(revoked.status).toBe(200);
  });

  it('is throttled after fifty failures from its address with any client id', async () => {
    const names = (index: number): Attempt => ({ clientId: `client-${index}`, from: '2001:db8::1' });
    expect(new Set(await statuses(50, names))).toEqual(new Set([401]));
    expect((await attempt({ ...good, from: '2001:db8::2' })).status).toBe(429);
    expect((await attempt({ ...good, from: '2001:db8:0:1::1' })).status).toBe(200);
    nowMs += 6000;
    expect((await attempt({ ...good, from: '2001:db8::1' })).status).toBe(200);
  });

  it('may authenticate successfully any number of times', async () => {
    const answers = await Promise.all(Array.from({ length: 60 }, () => attempt(good)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(await statuses(1, {})).toEqual([401]);
  });

  it('is not throttled longer by concurrent requests', async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, () => attempt({})));
    expect(answers.filter(({ status }) => status === 401).length).toBeGreaterThanOrEqual(10);
    nowMs += 30_000;
    expect((await attempt(good)).status).toBe(200);
  });
});

describe('the client throttle', () => {
  it("ignores other requests, and tracks no id that is longer than a client's can be", () => {
    const throttle = createClientThrottle({ clock: { ...systemClock, monotonicMs: () => 0 } });
    const request = { headers: {}, form: Buffer.from(''), address: '192.0.2.1' };
    for (const path of ['/auth', '/jwks', '/token/other', '/device'])
      expect(throttle.begin({ ...request, path })).toBeUndefined();
    for (let index = 0; index < 10; index += 1) {
      const form = Buffer.from(`client_id=${'x'.repeat(200 + index)}`);
      throttle.begin({ ...request, path: '/token', form })?.answered(401);
    }
    const another = Buffer.from(`client_id=${'y'.repeat(129)}`);
    expect(throttle.begin({ ...request, path: '/token', form: another })?.waitMs).toBe(30_000);
  });
});

describe('a client’s secret', () => {
  const configured = (secret: unknown) => ({
    issuer: 'https://id.example',
    redis: { url: 'redis://127.0.0.1:6379' },
    clients: [
      {
        client_id: 'cli',
        token_endpoint_auth_method: 'none' as const,
        redirect_uris: ['https://a.example/cb'],
      },
      { client_id: 'job', client_secret: secret, grant_types: ['client_credentials'] },
    ],
    resources: { orders: {} },
  });

  it('has at least 32 characters', () => {
    expect(v.safeParse(identitySchema, configured('x'.repeat(32))).issues).toBeUndefined();
    const issues = v.safeParse(identitySchema, configured('x'.repeat(31))).issues ?? [];
    expect(issues.map((issue) => [v.getDotPath(issue), issue.message])).toEqual([
      ['clients.1.client_secret', expect.stringContaining('at least 32 characters')],
    ]);
  });

  it('has them in a file, too; otherwise the start fails with the path', async () => {
    const file = join(temporaryDirectory(), 'secret');
    const { clients } = configured({ file });
    writeFileSync(file, `${'x'.repeat(31)}\n`);
    await expect(startIdentity({ clients })).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      message: expect.stringMatching(
        /^clients\[1\]\.client_secret: .*secret must have at least 32 characters/,
      ),
    });
    writeFileSync(file, `${'x'.repeat(32)}\n`);
    await (await startIdentity({ clients })).stop();
  });
});
