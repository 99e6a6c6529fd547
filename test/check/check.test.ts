import { describe, expect, it } from 'vitest';
import { always, goodToken, testCheck } from './fixtures.ts';

describe('a request with a good token', () => {
  it('is allowed, and the upstream learns who calls', async () => {
    const decision = await testCheck().decide();
    expect(decision).toMatchObject({
      kind: 'allow',
      token: { subject: 'user-1' },
      upstream: {
        set: [
          ['x-auth-subject', 'user-1'],
          ['x-auth-session', 'grant-1'],
          ['x-auth-issuer', 'https://issuer.test'],
          ['x-auth-scopes', 'read write'],
        ],
        metadata: { sub: 'user-1', session: 'grant-1', scopes: ['read', 'write'] },
      },
      remove: [],
    });
  });

  it('is decided synchronously once its token was verified', async () => {
    const check = testCheck();
    const first = check.decideNow();
    expect(first).toBeInstanceOf(Promise);
    await first;
    expect(check.decideNow()).toMatchObject({ kind: 'allow' });
  });

  it('is denied once its session is revoked, although the token was verified before', async () => {
    let revoked = false;
    const check = testCheck({
      revocations: {
        judge: () => (revoked ? { kind: 'revoked', by: 'session', reason: 'logout' } : { kind: 'clear' }),
      },
    });
    const token = goodToken();
    expect(await check.decide({ token })).toMatchObject({ kind: 'allow' });
    revoked = true;
    expect(check.decideNow({ token })).toMatchObject({ kind: 'deny', reason: 'revoked' });
  });
});

describe('a request without HTTP attributes', () => {
  it('is denied before anything else', () => {
    const check = testCheck({ isReady: () => false, revocations: always({ kind: 'unproven' }) });
    expect(check.undecidable()).toMatchObject({ kind: 'deny', reason: 'misconfigured_route' });
  });
});
