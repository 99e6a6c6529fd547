import { describe, expect, it } from 'vitest';
import { createBackchannelLogout } from '../../src/receivers/backchannel-logout.ts';
import { createSetPush } from '../../src/receivers/set-push.ts';
import { testIssuer, testKey, testNow } from '../token/tokens.ts';
import {
  evaluate,
  keySetOf,
  logoutForm,
  logoutToken,
  relayAudience,
  securityEventToken,
  sessionRevoked,
} from './senders.ts';

const shared = {
  path: '/receiver',
  issuer: testIssuer,
  algorithms: ['RS256' as const],
  keySet: keySetOf(testKey()),
  maxAgeMs: 300_000,
  clockToleranceMs: 5000,
};

/** A time as some JSON writers serialize it: seconds with nanoseconds, more digits than a double can hold. */
const precise = (seconds: number) => JSON.rawJSON(`${seconds}.123456789`);

describe('a notice whose times have nanoseconds', () => {
  it('is accepted as a logout token', async () => {
    const receiver = createBackchannelLogout({
      ...shared,
      audiences: ['web'],
      tokensHoldSid: true,
      needsExpiry: true,
    });
    const token = logoutToken({ claims: { iat: precise(testNow - 2), exp: precise(testNow + 60) } });
    expect(await evaluate(receiver, logoutForm(token))).toMatchObject({
      kind: 'accepted',
      requests: [{ at: testNow - 2 + 0.123_456_789 }],
    });
  });

  it('is accepted as a security event token, with the event’s time as its cut-off', async () => {
    const receiver = createSetPush({
      ...shared,
      sender: testIssuer,
      audiences: [relayAudience],
      credentialChange: false,
      trustSessionIds: false,
    });
    const evaluated = async (claims: Record<string, unknown>) =>
      await evaluate(receiver, securityEventToken({ claims: { iat: precise(testNow - 1), ...claims } }));
    const events = { [sessionRevoked]: { event_timestamp: precise(testNow - 20) } };
    const at = testNow - 20 + 0.123_456_789;
    expect(await evaluated({ events })).toMatchObject({ kind: 'accepted', requests: [{ at }] });
    const toe = { toe: precise(testNow - 20), events: { [sessionRevoked]: {} } };
    expect(await evaluated(toe)).toMatchObject({ kind: 'accepted', requests: [{ at }] });
  });
});
