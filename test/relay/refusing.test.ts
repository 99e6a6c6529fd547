import { createConnection } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { logoutForm, logoutToken, strangeKey } from '../receivers/senders.ts';
import { logoutPost, outboxOf, setPost, webhookPost, type Post } from './deliveries.ts';
import { receivers, startRelay, type TestRelay } from './relay-server.ts';

const authorization = 'Bearer agreed-upon-and-long-enough';
let relay: TestRelay;

beforeAll(async () => {
  relay = await startRelay({
    receivers: receivers.map((one) =>
      one.kind === 'set-push' ? Object.assign({}, one, { authorization }) : one,
    ),
  });
});
afterAll(() => relay.stop());

const form = { 'content-type': 'application/x-www-form-urlencoded' };

/** Posts, and finds nothing recorded. */
async function refused(...post: Post) {
  const before = outboxOf(relay.sqlite);
  const answer = await relay.post(...post);
  expect(outboxOf(relay.sqlite)).toEqual(before);
  return answer;
}

describe('a relay', () => {
  it('refuses other paths and methods', async () => {
    expect((await relay.post('/nothing', '', {})).status).toBe(404);
    expect((await relay.post('/events/', '', {})).status).toBe(404);
    const answer = await fetch(`${relay.url}/events`);
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST']);
  });

  it('accepts a delivery with any query and any media type parameters', async () => {
    const [, body] = logoutPost('with-a-query');
    const answer = await relay.post('/logout?from=keycloak', body, {
      'content-type': 'Application/X-WWW-Form-Urlencoded; charset=UTF-8',
    });
    expect(answer.status).toBe(200);
  });

  it('refuses another media type', async () => {
    const [path, body] = logoutPost('media-type');
    expect((await refused(path, body, { 'content-type': 'application/json' })).status).toBe(400);
    expect((await refused(path, body, {})).status).toBe(400);
  });

  it('refuses an id that its database may not be able to store, instead of failing at each retry', async () => {
    const id = 'user\u0000name';
    const webhook = await refused(...webhookPost({ kind: 'subject', id: 'good' }, { kind: 'subject', id }));
    expect(webhook).toMatchObject({ status: 400 });
    expect(JSON.parse(webhook.body)).toMatchObject({ error: 'unknown_subject' });
    expect((await refused(...logoutPost(id))).status).toBe(400);
    expect(await relay.metric('curfew_notices_missed_total{cause="database"}')).toBe(0);
  });

  it("refuses an invalid signature with the error code of the sender's protocol", async () => {
    const token = logoutToken({
      key: { ...strangeKey(), kid: 'key-RS256' },
      now: Math.floor(Date.now() / 1000),
    });
    const answer = await refused('/logout', logoutForm(token), form);
    expect(answer).toMatchObject({ status: 400 });
    expect(JSON.parse(answer.body)).toEqual({
      error: 'invalid_request',
      error_description: 'the signature is invalid',
    });
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });

  it('refuses an old event, another issuer and another audience', async () => {
    const headers = { authorization };
    const [path, old, type] = setPost('ada', {}, Math.floor(Date.now() / 1000) - 3600 - 310);
    const error = async (body: string) =>
      JSON.parse((await refused(path, body, { ...type, ...headers })).body) as { err: string };
    expect(await error(old)).toMatchObject({ err: 'invalid_request' });
    expect(await error(setPost('ada', { iss: 'https://other.test' })[1])).toMatchObject({
      err: 'invalid_issuer',
    });
    expect(await error(setPost('ada', { aud: 'https://other.test' })[1])).toMatchObject({
      err: 'invalid_audience',
    });
  });

  it('requires the configured Authorization header in addition to the signature', async () => {
    const [path, body, headers] = setPost('ada');
    for (const wrong of [{}, { authorization: 'Bearer guessed' }, { authorization: `${authorization} x` }]) {
      const answer = await refused(path, body, { ...headers, ...wrong });
      expect(answer.status).toBe(401);
      expect(JSON.parse(answer.body)).toMatchObject({ err: 'authentication_failed' });
    }
    expect((await relay.post(path, body, { ...headers, authorization })).status).toBe(202);
    expect(relay.logged()).not.toContain('agreed-upon');
  });

  it('refuses a body that is too large, announced or not', async () => {
    expect((await refused('/logout', 'x'.repeat(40_000), form)).status).toBe(413);
    const socket = createConnection(Number(new URL(relay.url).port), '127.0.0.1');
    socket.write(
      'POST /logout HTTP/1.1\r\nhost: relay\r\ncontent-type: application/x-www-form-urlencoded\r\n',
    );
    socket.write('transfer-encoding: chunked\r\n\r\n');
    const chunk = 'x'.repeat(0x1000);
    for (let sent = 0; sent < 20; sent += 1) socket.write(`1000\r\n${chunk}\r\n`);
    let answer = '';
    for await (const data of socket) answer += String(data);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toContain('connection: close');
  });

  it('refuses a webhook that names another issuer’s tokens', async () => {
    const post = webhookPost({ iss: 'https://other.test', kind: 'session', id: 'a' });
    expect((await refused(...post)).status).toBe(400);
  });

  it('refuses a delivery when an issuer has too many revoked keys, and records nothing of it', async () => {
    const keys = (from: number) =>
      webhookPost(...Array.from({ length: 500 }, (_, key) => ({ kind: 'key', id: `key-${from + key}` })));
    expect((await relay.post(...keys(0))).status).toBe(204);
    expect((await relay.post(...keys(500))).status).toBe(204);
    const answer = await refused(...keys(1000));
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([400, { error: 'too_many_keys' }]);
  });

  it('never throttles a sender with authentic deliveries', async () => {
    const posts = Array.from({ length: 300 }, (_, index) => logoutPost(`many-${index}`));
    const answers = await Promise.all(posts.map((post) => relay.post(...post)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    const others = Array.from({ length: 150 }, () => logoutPost('for-others', { aud: 'other' }));
    const refusals = await Promise.all(others.map((post) => relay.post(...post)));
    expect(new Set(refusals.map(({ status }) => status))).toEqual(new Set([400]));
    expect((await relay.post(...logoutPost('after-all'))).status).toBe(200);
  });
});
