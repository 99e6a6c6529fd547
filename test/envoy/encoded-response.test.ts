import { describe, expect, it } from 'vitest';
import { allow, deny, type UpstreamIdentity } from '../../src/check/decision.ts';
import { createResponder } from '../../src/envoy/check-response.ts';
import { createEncodedResponder } from '../../src/envoy/encoded-response.ts';
import { authorizationDefinition } from './protocol.ts';
import type { AccessToken } from '../../src/token/access-token.ts';

const { responseDeserialize } = authorizationDefinition.Check;
const respond = createResponder({ denied: { detail: 'minimal', corsOrigins: [] }, mode: 'enforce' });

const tokenOf = (subject: string): AccessToken => ({
  issuer: 'https://issuer.test',
  subject,
  session: 'grant-1',
  tokenId: undefined,
  clientId: undefined,
  clientIds: [],
  audiences: [],
  scopes: [],
  issuedAt: 1,
  notBefore: undefined,
  expiresAt: 2,
  keyId: 'key',
  keyNames: ['key'],
  claims: {},
});
const identityOf = (subject: string): UpstreamIdentity => ({
  set: [['x-auth-subject', subject]],
  metadata: undefined,
});
const decoded = (bytes: Buffer) => {
  expect(bytes[0]).toBe(0);
  expect(bytes.readUInt32BE(1)).toBe(bytes.length - 5);
  return responseDeserialize(bytes.subarray(5));
};

describe('an encoded response', () => {
  it('is the very response, with its length before it', () => {
    const encode = createEncodedResponder(respond);
    const decision = allow(tokenOf('a'), identityOf('a'), ['cookie']);
    const direct = authorizationDefinition.Check.responseSerialize(respond(decision, undefined));
    expect(decoded(encode(decision, undefined))).toEqual(responseDeserialize(direct));
    const refused = encode(deny('expired'), undefined);
    expect(decoded(refused).deniedResponse?.status?.code).toBe(401);
  });

  it('is made once for an allow, by each responder', () => {
    const encode = createEncodedResponder(respond);
    const decision = allow(tokenOf('a'), identityOf('a'), []);
    const first = encode(decision, undefined);
    expect(encode(decision, undefined)).toBe(first);
    const bare = createEncodedResponder(
      createResponder({ denied: { detail: 'minimal', corsOrigins: [] }, mode: 'enforce', metadata: false }),
    );
    expect(decoded(bare(decision, undefined)).dynamicMetadata).toBeUndefined();
    expect(decoded(encode(decision, undefined)).dynamicMetadata).toBeDefined();
  });

  it('holds no more memory than it has bytes', () => {
    const bytes = createEncodedResponder(respond)(allow(tokenOf('a'), identityOf('a'), []), undefined);
    expect(bytes.buffer.byteLength).toBe(bytes.length);
  });

  it('never is that of another token, identity or list', () => {
    const encode = createEncodedResponder(respond);
    const token = tokenOf('a');
    const upstream = identityOf('a');
    const remove: readonly string[] = [];
    encode(allow(token, upstream, remove), undefined);
    const subject = (bytes: Buffer) => decoded(bytes).okResponse?.headers?.[0]?.header?.value;
    expect(subject(encode(allow(tokenOf('b'), identityOf('b'), remove), undefined))).toBe('b');
    expect(subject(encode(allow(token, identityOf('other'), remove), undefined))).toBe('other');
    const stripped = decoded(encode(allow(token, upstream, ['x-auth-role']), undefined));
    expect(stripped.okResponse?.headersToRemove).toEqual(['x-auth-role']);
    expect(subject(encode(allow(token, upstream, remove), undefined))).toBe('a');
  });
});
