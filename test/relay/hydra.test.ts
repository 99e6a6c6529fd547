import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { neverPrinted } from '../output.ts';
import { logoutEvent, logoutForm } from '../receivers/senders.ts';
import { issueToken, testIssuer } from '../token/tokens.ts';
import { outboxOf, type Post } from './deliveries.ts';
import { startRelay, type TestRelay } from './relay-server.ts';

// Back-channel logout as Ory Hydra does it: its logout tokens have neither `exp` nor `sub`.

let relay: TestRelay;

beforeAll(async () => {
  const logout = { kind: 'backchannel-logout', issuer: testIssuer, audience: ['web'], redelivery: '1h' };
  relay = await startRelay({
    receivers: [
      { ...logout, path: '/hydra', exp: 'optional' },
      { ...logout, path: '/strict' },
    ],
  });
});
afterAll(() => relay.stop());

/** What Hydra posts to a client's back-channel logout URL, so many seconds ago. */
function hydraPost(path: string, sid: string, secondsAgo = 0): Post {
  const token = issueToken({
    now: Math.floor(Date.now() / 1000) - secondsAgo,
    header: { typ: 'JWT' },
    claims: {
      aud: ['web'],
      events: { [logoutEvent]: {} },
      jti: randomUUID(),
      sid,
      exp: undefined,
      sub: undefined,
      client_id: undefined,
      grant_id: undefined,
      scope: undefined,
    },
  });
  neverPrinted(token);
  return [path, logoutForm(token), { 'content-type': 'application/x-www-form-urlencoded' }];
}

const sessions = () => outboxOf(relay.sqlite).map(({ kind, target }) => `${kind} ${target}`);

describe('a logout token without exp', () => {
  it('ends the session where the receiver says that exp is optional', async () => {
    expect(await relay.post(...hydraPost('/hydra', 'login-1'))).toMatchObject({ status: 200, body: '' });
    expect(sessions()).toContain('session login-1');
  });

  it('is processed once, however often and late it is retried', async () => {
    const post = hydraPost('/hydra', 'login-2', 3600);
    for (let times = 0; times < 3; times += 1) expect((await relay.post(...post)).status).toBe(200);
    expect(sessions().filter((one) => one === 'session login-2')).toHaveLength(1);
  });

  it('is refused when it is older than the sender retries', async () => {
    const answer = await relay.post(...hydraPost('/hydra', 'login-3', 3600 + 310));
    expect(answer.status).toBe(400);
    expect(answer.body).toContain('the delivery is too old');
    expect(sessions()).not.toContain('session login-3');
  });

  it('is refused everywhere else, with the missing claim in the response', async () => {
    const answer = await relay.post(...hydraPost('/strict', 'login-4'));
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toEqual({
      error: 'invalid_request',
      error_description: 'the request does not have the form that this endpoint accepts: exp',
    });
    expect(sessions()).not.toContain('session login-4');
  });
});
