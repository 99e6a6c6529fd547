import { rmSync } from 'node:fs';
import * as v from 'valibot';
import { describe, expect, it, onTestFinished } from 'vitest';
import { relaySchema } from '../../src/config/relay.ts';
import { revokeForeign } from '../../src/receivers/operator-commands.ts';
import { startRedis } from '../redis/redis-server.ts';
import { testIssuer } from '../token/tokens.ts';
import { outboxOf } from './deliveries.ts';
import { relayFolder, startRelay, untilLeading } from './relay-server.ts';

describe('revoking by command', () => {
  it('is published by the relay that runs beside it', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const relay = await startRelay({ redis: { url: redis.url } });
    onTestFinished(() => relay.stop());
    await untilLeading(relay);
    const request = { iss: testIssuer, kind: 'session' as const, id: 'session-1', reason: 'operator' };
    const first = await revokeForeign(relay.config, request);
    expect(first).toMatchObject({ isPublished: true, seq: expect.any(Number) as number });
    const second = await revokeForeign(relay.config, { ...request, id: 'session-2' });
    expect(second.seq).toBe((first.seq ?? 0) + 1);
  });

  it('is recorded without a running relay, for the next one to publish', { timeout: 15_000 }, async () => {
    const { folder, settings } = await relayFolder();
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const config = v.parse(relaySchema, settings);
    const revocation = await revokeForeign(config, {
      iss: testIssuer,
      kind: 'subject',
      id: 'ada',
      at: 1_700_000_000,
    });
    expect(revocation).toMatchObject({ isPublished: false, seq: undefined });
    expect(outboxOf(`${folder}/relay.db`)).toMatchObject([
      { kind: 'subject', target: 'ada', at: 1_700_000_000 },
    ]);
  });

  it('is refused for an issuer that the log does not have', async () => {
    const { folder, settings } = await relayFolder();
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const request = { iss: 'https://other.test', kind: 'session' as const, id: 'a' };
    await expect(revokeForeign(v.parse(relaySchema, settings), request)).rejects.toMatchObject({
      code: 'ERR_REVOCATION_INVALID',
    });
  });
});
