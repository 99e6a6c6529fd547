import { rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../processes.ts';
import { startRedis } from '../redis/redis-server.ts';
import { testIssuer } from '../token/tokens.ts';
import { logoutPost, outboxOf } from './deliveries.ts';
import { listenedUntilNow, relayFolder, startRelay, untilLeading, type RelayFolder } from './relay-server.ts';

let place: RelayFolder;

beforeEach(async () => {
  place = await relayFolder();
});
afterEach(() => rmSync(place.folder, { recursive: true, force: true }));

const receiver = (redelivery: string, more: Record<string, unknown> = {}) => ({
  receivers: [
    { kind: 'backchannel-logout', path: '/logout', issuer: testIssuer, audience: 'web', redelivery, ...more },
  ],
});

const path = () => `${place.folder}/relay.db`;

/** As if the relay had been away for so long. */
function awayFor(seconds: number): void {
  const database = new DatabaseSync(path());
  database.exec(`update receiver_presence set seen_at_ms = seen_at_ms - ${seconds * 1000}`);
  database.close();
}

async function cutOffsAfterStart(redelivery: string): Promise<number> {
  const relay = await startRelay(receiver(redelivery), place);
  const cutOffs = outboxOf(path()).filter(({ kind, reason }) => kind === 'issuer' && reason === 'absence');
  await relay.stop();
  return cutOffs.length;
}

describe('after a downtime', () => {
  it('longer than the sender retries, all tokens of the issuer issued so far are revoked', async () => {
    await listenedUntilNow(place);
    awayFor(3601);
    expect(await cutOffsAfterStart('1h')).toBe(1);
    const [cutOff] = outboxOf(path());
    // The issuer's clock may be ahead by the tolerance.
    expect(cutOff?.at).toBeGreaterThan(Date.now() / 1000);
    expect(cutOff?.target).toBe(testIssuer);
  });

  it('shorter than the sender retries, nothing is revoked', async () => {
    await listenedUntilNow(place);
    awayFor(3500);
    expect(await cutOffsAfterStart('1h')).toBe(0);
  });

  it('of a few seconds, all tokens are revoked if the sender does not retry', async () => {
    await listenedUntilNow(place);
    expect(await cutOffsAfterStart('0s')).toBe(0);
    awayFor(3);
    expect(await cutOffsAfterStart('0s')).toBe(1);
  });

  it('at the very first start, all tokens issued so far are revoked, once', async () => {
    expect(await cutOffsAfterStart('1h')).toBe(1);
    expect(await cutOffsAfterStart('1h')).toBe(1);
  });

  it('nothing is revoked without receivers', async () => {
    const relay = await startRelay({ receivers: [] }, place);
    expect(outboxOf(path())).toEqual([]);
    await relay.stop();
  });

  it('the cut-off is in the first complete log', async () => {
    const redis = await startRedis();
    await listenedUntilNow(place);
    awayFor(3601);
    const relay = await startRelay({ ...receiver('1h'), redis: { url: redis.url } }, place);
    const epoch = await eventually('a log', async () => {
      const reply = await redis.command('HGET', '{curfew}:head', 'epoch');
      return /\r\n(?<epoch>\d+)\r\n/.exec(reply)?.groups?.['epoch'];
    });
    const log = await redis.command('ZRANGE', `{curfew}:log:${epoch}`, '0', '-1');
    expect(log).toContain('"reason":"absence"');
    await untilLeading(relay);
    await relay.stop();
    await redis.stop();
  });

  it('of the database, all tokens are revoked if the sender does not retry', async () => {
    await listenedUntilNow(place);
    const relay = await startRelay(receiver('0s'), place);
    const database = new DatabaseSync(path());
    database.exec(`create trigger broken before insert on receiver_deliveries
      begin select raise(abort, 'the disk is full'); end`);
    expect((await relay.post(...logoutPost('lost'))).status).toBe(503);
    database.exec('drop trigger broken');
    database.close();
    await eventually('a cut-off', () =>
      outboxOf(path()).some(({ kind }) => kind === 'issuer') ? true : undefined,
    );
    expect(outboxOf(path())).toHaveLength(1);
    await relay.stop();
  });

  it('of the key server, the relay does not count as listening', async () => {
    await listenedUntilNow(place);
    awayFor(30);
    const jwks = { uri: 'http://127.0.0.1:9/jwks', timeout: '100ms' };
    const relay = await startRelay(receiver('10s', { jwks }), place);
    expect((await relay.post(...logoutPost('unverified'))).status).toBe(503);
    expect(outboxOf(path())).toEqual([]);
    await relay.stop();
    expect(await cutOffsAfterStart('10s')).toBe(1);
  });
});
