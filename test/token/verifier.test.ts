import { describe, expect, it } from 'vitest';
import { everyAsymmetric, testVerifier, trusted } from './fixtures.ts';
import { issueToken, testKey, testNow } from './tokens.ts';

describe('a good token', () => {
  it.each(everyAsymmetric)('is accepted when signed with %s and a key of the set', async (algorithm) => {
    const key = testKey(algorithm);
    const verifier = testVerifier([trusted({ algorithms: [algorithm] }, key)]);
    const verification = await verifier.verify(issueToken({ key, now: testNow }));
    expect(verification).toMatchObject({
      kind: 'verified',
      token: { subject: 'user-1', session: 'grant-1', keyId: key.kid, audiences: ['orders'] },
    });
  });

  it('is answered synchronously the second time', async () => {
    const verifier = testVerifier();
    const token = issueToken({ now: testNow });
    const first = await verifier.verify(token);
    expect(verifier.verify(token)).toBe(first);
  });
});
