import { createServer } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { eventually, freePort } from '../processes.ts';
import { logoutForm, logoutToken } from '../receivers/senders.ts';
import { jwkSetOf, testIssuer, testKey, type TestKey } from '../token/tokens.ts';
import { neverPrinted } from '../output.ts';
import { outboxOf } from './deliveries.ts';
import { startRelay, type TestRelay } from './relay-server.ts';

const next = testKey('RS256', 'next');
const form = { 'content-type': 'application/x-www-form-urlencoded' };

/** An issuer that publishes its keys, and a relay whose cool-down between two fetches is short. */
async function issuerAndRelay(redelivery: string, cooldown = '2s') {
  let keys: readonly TestKey[] | 'down' = [testKey()];
  let fetches = 0;
  const port = await freePort();
  const server = createServer((_, response) => {
    fetches += 1;
    if (keys === 'down') response.writeHead(500).end();
    else response.writeHead(200, { 'content-type': 'application/json' }).end(jwkSetOf(...keys));
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const jwks = { uri: `http://127.0.0.1:${port}/jwks`, cooldown, timeout: '1s' };
  const relay = await startRelay({
    issuers: [{ issuer: testIssuer, jwks, algorithms: ['RS256'] }],
    receivers: [
      { kind: 'backchannel-logout', path: '/logout', issuer: testIssuer, audience: 'web', redelivery },
    ],
  });
  onTestFinished(() => relay.stop());
  return {
    relay,
    fetches: () => fetches,
    publish: (now: typeof keys) => {
      keys = now;
    },
  };
}

const post = (relay: TestRelay, session: string, key: TestKey) => {
  const token = logoutToken({ key, now: Math.floor(Date.now() / 1000), claims: { sid: session } });
  neverPrinted(token);
  return relay.post('/logout', logoutForm(token), form);
};

const sessions = ({ sqlite }: TestRelay): string[] =>
  outboxOf(sqlite).flatMap(({ kind, target }) => (kind === 'session' ? [target] : []));
const cutOffs = ({ sqlite }: TestRelay): number =>
  outboxOf(sqlite).filter(({ kind }) => kind === 'issuer').length;

describe('an event signed with a new key', () => {
  it('is processed even if a forged event has just used up the key fetch', async () => {
    const { relay, publish } = await issuerAndRelay('0s');
    expect((await post(relay, 'forged', testKey('RS256', 'nobodys'))).status).toBe(400);
    publish([testKey(), next]);
    expect((await post(relay, 'ended', next)).status).toBe(200);
    expect(sessions(relay)).toEqual(['ended']);
    expect(cutOffs(relay)).toBe(0);
  });

  it('is processed even if its sender has disconnected', async () => {
    const { relay, publish } = await issuerAndRelay('0s');
    await post(relay, 'forged', testKey('RS256', 'nobodys'));
    publish([testKey(), next]);
    const token = logoutToken({
      key: next,
      now: Math.floor(Date.now() / 1000),
      claims: { sid: 'impatient' },
    });
    neverPrinted(token);
    const body = logoutForm(token);
    const socket = connect(Number(new URL(relay.url).port), '127.0.0.1');
    const headers = `host: relay\r\ncontent-type: ${form['content-type']}\r\ncontent-length: ${body.length}`;
    const { promise: isSent, resolve } = Promise.withResolvers<void>();
    socket.end(`POST /logout HTTP/1.1\r\n${headers}\r\n\r\n${body}`, () => resolve());
    await isSent;
    socket.destroy();
    await eventually('it is carried out', () => (sessions(relay).length > 0 ? true : undefined));
    expect(sessions(relay)).toEqual(['impatient']);
  });

  it('is processed after a long cool-down, later than the response', async () => {
    const { relay, publish } = await issuerAndRelay('0s', '15s');
    await post(relay, 'forged', testKey('RS256', 'nobodys'));
    publish([testKey(), next]);
    const answer = await post(relay, 'late', next);
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
    await eventually('it is carried out', () => (sessions(relay).length > 0 ? true : undefined));
    expect(sessions(relay)).toEqual(['late']);
    expect(cutOffs(relay)).toBe(0);
  });

  it('causes no more fetches than the cool-down permits, however many wait', async () => {
    const { relay, fetches } = await issuerAndRelay('1h');
    const before = fetches();
    const beganAtMs = performance.now();
    const waiting = Array.from({ length: 60 }, () => post(relay, 'forged', testKey('RS256', 'nobodys')));
    const answers = await Promise.all(waiting);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([400]));
    const permitted = 1 + (performance.now() - beganAtMs) / 2000;
    expect(fetches() - before).toBeLessThanOrEqual(Math.ceil(permitted));
  });

  it("is answered 503 while the keys can't be fetched; all tokens are revoked if the sender does not retry", async () => {
    const { relay, publish } = await issuerAndRelay('0s');
    publish('down');
    const answer = await post(relay, 'lost', next);
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    await eventually('a cut-off', () => (cutOffs(relay) > 0 ? true : undefined));
    expect(await relay.metric('curfew_notices_missed_total{cause="keys"}')).toBe(1);
  });

  it('is only answered 503 if the sender retries', async () => {
    const { relay, publish } = await issuerAndRelay('1h');
    publish('down');
    expect((await post(relay, 'later', next)).status).toBe(503);
    publish([testKey(), next]);
    expect((await post(relay, 'later', next)).status).toBe(200);
    expect(outboxOf(relay.sqlite).map(({ target }) => target)).toEqual(['later']);
  });
});
