import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { eventually } from '../processes.ts';
import { logoutPost, outboxOf, webhookPost } from './deliveries.ts';
import { receivers, startRelay, type TestRelay } from './relay-server.ts';

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

async function started(overrides: Record<string, unknown> = {}): Promise<TestRelay> {
  const relay = await startRelay(overrides);
  onTestFinished(() => relay.stop());
  return relay;
}

const head = (path: string, length: number, more = ''): string =>
  `POST ${path} HTTP/1.1\r\nhost: relay\r\ncontent-type: application/json\r\n${more}content-length: ${length}\r\n\r\n`;

/** A client that begins to send and then falls silent. */
async function silentAfter(relay: TestRelay, localAddress: string, bytes: string): Promise<Socket> {
  const socket = connect({ port: Number(new URL(relay.url).port), host: '127.0.0.1', localAddress });
  sockets.push(socket);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(bytes);
  return socket;
}

const many = async (count: number, open: (index: number) => Promise<Socket>): Promise<Socket[]> =>
  await Promise.all(Array.from({ length: count }, (_, index) => open(index)));

const genuine = async (relay: TestRelay, session: string): Promise<number> =>
  (await relay.post(...webhookPost({ kind: 'session', id: session }))).status;

const triesOnce = {
  receivers: receivers
    .filter(({ kind }) => kind === 'webhook')
    .map((one) => Object.assign({}, one, { redelivery: '0s' })),
};

const cutOffs = (relay: TestRelay): number =>
  outboxOf(relay.sqlite).filter(({ kind, reason }) => kind === 'issuer' && reason === 'absence').length;

describe('a relay that is flooded with forged requests', () => {
  it('accepts every authentic event while hundreds of bodies are sent slowly', async () => {
    const relay = await started();
    await many(700, (index) => silentAfter(relay, `127.0.7.${1 + (index % 3)}`, `${head('/webhook', 300)}{`));
    const statuses = [];
    for (let sent = 0; sent < 5; sent += 1) statuses.push(await genuine(relay, `slow-${sent}`));
    expect(statuses).toEqual([204, 204, 204, 204, 204]);
  });

  it('accepts every authentic event while more connections than its limit never send a request', async () => {
    const relay = await started();
    await many(2100, () => silentAfter(relay, '127.0.8.1', 'POST /webhook HTTP/1.1\r\n'));
    const statuses = [];
    for (let sent = 0; sent < 5; sent += 1) statuses.push(await genuine(relay, `head-${sent}`));
    expect(statuses).toEqual([204, 204, 204, 204, 204]);
  });

  it('refuses a body that has not arrived after two seconds', async () => {
    const relay = await started();
    const beganAtMs = performance.now();
    const socket = await silentAfter(relay, '127.0.0.1', `${head('/webhook', 300)}{"events"`);
    const answer = await text(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toContain('connection: close');
    // The server's own limit is ten.
    expect(performance.now() - beganAtMs).toBeLessThan(8000);
    expect(await relay.metric('curfew_received_events_total{source="webhook",result="too_slow"}')).toBe(1);
    expect(await relay.metric('curfew_notices_missed_total{cause="unread"}')).toBe(0);
  });

  it('accepts every authentic event next to forged ones from the same address', async () => {
    const relay = await started();
    const [, body, headers] = webhookPost({ kind: 'session', id: 'forged' });
    const forged = { ...headers, 'webhook-signature': `v1,${Buffer.alloc(32, 7).toString('base64')}` };
    const [path, , form] = logoutPost('forged');
    for (let sent = 0; sent < 150; sent += 1) {
      expect((await relay.post('/webhook', body, forged)).status).toBe(400);
      expect((await relay.post(path, 'logout_token=e30.e30.AAAA', form)).status).toBe(400);
    }
    expect(await genuine(relay, 'beside-forged')).toBe(204);
    expect((await relay.post(...logoutPost('beside-forged-too'))).status).toBe(200);
  });

  it('logs a bounded number of lines about forged events', async () => {
    const relay = await started();
    for (let sent = 0; sent < 300; sent += 1)
      await relay.post('/webhook', '{}', { 'content-type': 'application/json' });
    const warnings = relay
      .logged()
      .split('\n')
      .filter((line) => line.includes('"delivery refused"') && line.includes('"warn"'));
    expect(warnings.length).toBeGreaterThan(50);
    expect(warnings.length).toBeLessThan(200);
  });

  it('logs a bounded number of lines about events that the provider signed for other audiences', async () => {
    const relay = await started();
    const [path, body, headers] = logoutPost('of-another-client', { aud: 'somebody-else' });
    for (let sent = 0; sent < 300; sent += 1)
      expect((await relay.post(path, body, headers)).status).toBe(400);
    const warnings = relay
      .logged()
      .split('\n')
      .filter((line) => line.includes('"wrong_audience"') && line.includes('"warn"'));
    expect(warnings.length).toBeGreaterThan(50);
    expect(warnings.length).toBeLessThan(200);
  });

  it('revokes all tokens when it refuses requests unread and the sender does not retry', async () => {
    const relay = await started(triesOnce);
    // Each takes up 240 KiB. No authentic notice has said yet where the sender is.
    const large = `${head('/webhook', 250_000)}${'x'.repeat(240_000)}`;
    await many(80, (index) => silentAfter(relay, `127.0.9.${1 + (index % 40)}`, large));
    await eventually('a cut-off', () => (cutOffs(relay) > 0 ? true : undefined));
    expect(cutOffs(relay)).toBe(1);
    expect(await relay.metric('curfew_notices_missed_total{cause="unread"}')).toBeGreaterThan(0);
    expect(relay.logged()).toContain('notices may have been missed');
    expect(await genuine(relay, 'after-all')).toBe(204);
  });

  it.each([
    ['a stranger', '127.0.9.9', false],
    ['somebody at the sender’s own address', '127.0.0.1', true],
  ])('takes a flood from %s for what it is, once it knows where the sender is', async (_, from, isMissed) => {
    const relay = await started(triesOnce);
    expect(await genuine(relay, 'known')).toBe(204);
    const large = `${head('/webhook', 250_000)}${'x'.repeat(240_000)}`;
    await many(80, () => silentAfter(relay, from, large));
    const overloaded = 'curfew_received_events_total{source="webhook",result="overloaded"}';
    await eventually('requests are turned away', async () =>
      (await relay.metric(overloaded)) > 0 ? true : undefined,
    );
    expect((await relay.metric('curfew_notices_missed_total{cause="unread"}')) > 0).toBe(isMissed);
    expect(await genuine(relay, 'still')).toBe(204);
  });
});
