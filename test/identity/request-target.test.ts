import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../processes.ts';
import { logInBrowser, payloadOf } from './flows.ts';
import { startIdentity, type TestIdentity } from './identity-server.ts';

const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
const key = { ...(await exportJWK(publicKey)), kid: 'own', alg: 'ES256', use: 'sig' };
const service = {
  client_id: 'service',
  token_endpoint_auth_method: 'private_key_jwt',
  jwks: { keys: [key] },
  grant_types: ['client_credentials'],
};

/** A form that authenticates the client with an assertion made for that audience. */
async function assertedForm(audience: string): Promise<string> {
  const assertion = await new SignJWT({ jti: crypto.randomUUID() })
    .setProtectedHeader({ alg: 'ES256', kid: 'own' })
    .setIssuer('service')
    .setSubject('service')
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime('1m')
    .sign(privateKey);
  return new URLSearchParams({
    grant_type: 'client_credentials',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
  }).toString();
}

describe('a request line with an absolute URL', () => {
  let identity: TestIdentity;

  beforeAll(async () => {
    identity = await startIdentity({ clients: [service] });
  });
  afterAll(() => identity.stop());

  async function send(line: string, form = '', ...more: string[]): Promise<string> {
    const socket = connect(Number(new URL(identity.issuer).port), '127.0.0.1');
    const head = [
      `${line} HTTP/1.1`,
      'host: other.example',
      'connection: close',
      'content-type: application/x-www-form-urlencoded',
      `content-length: ${form.length}`,
      ...more,
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n${form}`);
    return await text(socket);
  }

  it('does not make an assertion for another server valid', async () => {
    const foreign = 'https://other.example/token';
    expect(await send('POST /token', await assertedForm(foreign))).toContain('invalid_client');
    expect(await send(`POST ${foreign}`, await assertedForm(foreign))).toContain('invalid_client');
    expect(await send(`POST ${foreign}`, await assertedForm(identity.issuer))).toContain('access_token');
  });

  it('does not change the published endpoints', async () => {
    const answer = await send('GET http://other.example/.well-known/openid-configuration');
    expect(answer).toContain(`"token_endpoint":"${identity.issuer}/token"`);
    expect(answer).not.toContain('other.example');
  });

  it('does not bypass the origin check of forms', async () => {
    for (const target of ['/session/end/confirm', 'http://other.example/session/end/confirm'])
      expect(await send(`POST ${target}`, 'logout=yes', 'origin: http://evil.example')).toMatch(
        /^HTTP\/1\.1 403 /,
      );
  });

  it('does not redirect elsewhere', async () => {
    for (const target of ['http://other.example', 'x:http://other.example/token', '*', 'token'])
      expect(await send(`OPTIONS ${target}`)).toMatch(/^HTTP\/1\.1 40[04] /);
  });
});

describe('an issuer with a path', () => {
  it('completes a login when the request names a resource', async () => {
    const port = await freePort();
    const listen = `127.0.0.1:${port}`;
    const mounted = await startIdentity({ issuer: `http://${listen}/accounts`, listen });
    try {
      await mounted.addUser('mary');
      const { tokens } = await logInBrowser(mounted, 'mary', { more: { resource: 'orders' } });
      expect(payloadOf(tokens.access)['aud']).toBe('orders');
    } finally {
      await mounted.stop();
    }
  });
});
