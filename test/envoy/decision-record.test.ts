import { describe, expect, it } from 'vitest';
import type { CheckRequest } from '../../src/check/check-request.ts';
import { deny, type Decision } from '../../src/check/decision.ts';
import { allReasons } from '../../src/check/reasons.ts';
import { createDecisionRecord, type DecisionRecordOptions } from '../../src/envoy/decision-record.ts';
import type { AccessToken } from '../../src/token/access-token.ts';
import { capturedLog, steppedClock, testMetrics } from '../token/fixtures.ts';
import { issueToken } from '../token/tokens.ts';
import { allowed } from '../grpc/grpc-fixture.ts';

const token: AccessToken = {
  issuer: 'https://idp.example',
  subject: 'alice',
  session: 'session-1',
  tokenId: 'token-1',
  clientId: 'web',
  clientIds: ['web'],
  audiences: ['orders'],
  scopes: [],
  issuedAt: 0,
  notBefore: undefined,
  expiresAt: 60,
  keyId: 'key-1',
  keyNames: ['key-1'],
  claims: {},
};

const request = (path = '/orders'): CheckRequest => ({
  method: 'GET',
  host: 'orders',
  path,
  headers: new Map(),
  contextExtensions: new Map(),
});

function recorder(options: Partial<DecisionRecordOptions> = {}) {
  const log = capturedLog();
  const metrics = testMetrics();
  const clock = steppedClock();
  const record = createDecisionRecord({
    metrics,
    log: log.log,
    clock,
    decisions: 'denied',
    mode: 'enforce',
    ...options,
  });
  return { log, metrics, clock, record };
}

describe('the record of decisions', () => {
  it('has for a denial the reason, the rule, the route and whose token it was, and no name of a person', () => {
    const { record, log } = recorder();
    const detail = { claim: 'session', expected: 'not revoked', found: 'logout' };
    record(deny('revoked', { token, detail }), request('/orders?email=a@b'), 1);
    expect(log.lines()).toEqual([
      expect.objectContaining({
        level: 'info',
        msg: 'request denied',
        decision: 'deny',
        mode: 'enforce',
        reason: 'revoked',
        claim: 'session',
        expected: 'not revoked',
        found: 'logout',
        method: 'GET',
        host: 'orders',
        route: '/orders',
        issuer: 'https://idp.example',
        keyId: 'key-1',
        // The first 12 digits of the SHA-256 of `session-1`.
        sessionHash: '84097828fc31',
      }),
    ]);
    for (const secret of ['alice', 'session-1', 'a@b']) expect(log.text()).not.toContain(secret);
  });

  it('names the issuer and the key of a token that did not verify', () => {
    const { record, log } = recorder();
    record(
      deny('bad_signature', { origin: { issuer: 'https://idp.example', keyId: undefined } }),
      request(),
      1,
    );
    expect(log.lines()[0]).toMatchObject({ issuer: 'https://idp.example', reason: 'bad_signature' });
    expect(log.lines()[0]).not.toHaveProperty('keyId');
  });

  it('takes a token out of a path', () => {
    const { record, log } = recorder();
    const secret = issueToken();
    record(deny('no_token'), request(`/reset/${secret}`), 1);
    expect(log.text()).not.toContain(secret);
    expect(log.lines()[0]).toMatchObject({ route: '/reset/[token]' });
  });

  it('bounds what a client can write into a line', () => {
    const { record, log } = recorder();
    record(deny('no_token'), { ...request(`/${'a'.repeat(5000)}`), method: 'M'.repeat(5000) }, 1);
    expect(log.text().length).toBeLessThan(1000);
  });

  it.each([
    ['none', []],
    ['denied', ['request denied']],
    ['all', ['request allowed', 'request denied']],
  ] as const)('writes %s', (decisions, expected) => {
    const { record, log } = recorder({ decisions });
    record(allowed({ token }), request(), 1);
    record(deny('no_token'), undefined, 1);
    expect(log.lines().map(({ msg }) => msg)).toEqual(expected);
  });

  it('counts every decision, also those it does not write', async () => {
    const { record, metrics } = recorder({ decisions: 'none' });
    const decisions: Decision[] = [allowed(), deny('expired'), deny('expired')];
    for (const decision of decisions) record(decision, request(), 2);
    const { values } = await metrics.checks.get();
    expect(values).toHaveLength(1 + allReasons.length);
    expect(
      values
        .filter(({ value }) => value > 0)
        .map(({ labels, value }) => [labels['decision'], labels['reason'], value]),
    ).toEqual([
      ['allow', 'none', 1],
      ['deny', 'expired', 2],
    ]);
    const durations = (await metrics.checkDuration.get()).values;
    expect(durations.find(({ metricName }) => metricName?.endsWith('_sum'))?.value).toBeCloseTo(0.006);
  });

  it('writes at most 200 lines a second, and says how many it left out', () => {
    const { record, log, clock } = recorder();
    for (let count = 0; count < 250; count += 1) record(deny('no_token'), request(), 1);
    expect(log.lines()).toHaveLength(200);
    clock.nowSeconds += 1;
    record(deny('no_token'), request(), 1);
    expect(log.lines().slice(200)).toEqual([
      expect.objectContaining({ level: 'warn', count: 50 }),
      expect.objectContaining({ msg: 'request denied' }),
    ]);
  });
});
