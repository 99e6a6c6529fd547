import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allow, deny, type Decision } from '../../src/check/decision.ts';
import { allReasons } from '../../src/check/reasons.ts';
import { createResponder } from '../../src/envoy/check-response.ts';
import type { CheckResponse } from './generated/envoy/service/auth/v3/CheckResponse.ts';
import type { Value } from './generated/google/protobuf/Value.ts';
import { readHealthRequest, writeHealth, writeHealthList } from '../../src/grpc/health-protocol.ts';
import { authorizationDefinition, healthDefinition as theirs } from './protocol.ts';
import { lengthPrefixed } from '../../src/grpc/length-prefix.ts';
import { malformedRequest } from '../../src/grpc/method.ts';
import { encodeCheckResponse } from '../../src/envoy/response-encoder.ts';
import type { AccessToken } from '../../src/token/access-token.ts';

const { responseSerialize } = authorizationDefinition.Check;

const text = fc.string({ unit: 'binary', maxLength: 300 });
const value: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.record({ stringValue: text }),
    fc.record({ numberValue: fc.double() }),
    fc.record({ listValue: fc.record({ values: fc.array(tie('value'), { maxLength: 4 }) }) }),
    fc.record({ structValue: fc.record({ fields: fc.dictionary(text, tie('value'), { maxKeys: 4 }) }) }),
  ),
})).value;
const header = fc.record({
  header: fc.record({ key: text, value: text }, { requiredKeys: [] }),
  appendAction: fc.constant('OVERWRITE_IF_EXISTS_OR_ADD' as const),
});
const headers = fc.array(header, { maxLength: 6 });
const anyResponse: fc.Arbitrary<CheckResponse> = fc
  .tuple(
    fc.record({ code: fc.nat(), message: text }, { requiredKeys: [] }),
    fc.constantFrom('ok', 'denied', 'neither'),
    fc.record({ headers, headersToRemove: fc.array(text) }, { requiredKeys: [] }),
    fc.record({ status: fc.record({ code: fc.constantFrom(302, 401, 503) }), headers, body: text }),
    fc.record({ fields: fc.dictionary(text, value, { maxKeys: 4 }) }),
  )
  .map(([status, kind, okResponse, deniedResponse, dynamicMetadata]): CheckResponse => {
    if (kind === 'ok') return { status, okResponse, dynamicMetadata };
    return kind === 'denied' ? { status, deniedResponse, dynamicMetadata } : { status, dynamicMetadata };
  });

const token: AccessToken = {
  issuer: 'https://issuer.test',
  subject: 'user-1',
  session: 'grant-1',
  tokenId: 'token-1',
  clientId: 'web',
  clientIds: ['web'],
  audiences: ['orders'],
  scopes: ['read', 'wríte'],
  issuedAt: 1,
  notBefore: undefined,
  expiresAt: 1_763_969_660.5,
  keyId: 'key',
  keyNames: ['key'],
  claims: {},
};

describe('a response', () => {
  it('becomes the very bytes that proto-loader makes of it', () => {
    fc.assert(
      fc.property(anyResponse, (response) => {
        expect(encodeCheckResponse(response).equals(responseSerialize(response))).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it.each(['enforce', 'shadow'] as const)('is encoded for every decision in mode %s', (mode) => {
    const respond = createResponder({
      denied: { detail: 'full', corsOrigins: ['https://a.example'] },
      mode,
    });
    const { issuer: iss, subject: sub, session, scopes, expiresAt: exp } = token;
    const metadata = { iss, sub, session, scopes, exp };
    const decisions: Decision[] = [
      allow(token, { set: [['x-auth-subject', 'user-1']], metadata }, ['x-auth-role']),
      ...allReasons.map((reason) => deny(reason, { remove: ['x-auth-subject'], requiredScopes: 'read' })),
    ];
    for (const decision of decisions) {
      const response = respond(decision, undefined);
      expect(encodeCheckResponse(response)).toEqual(responseSerialize(response));
    }
  });

  it.each([
    ['a field of later', { okResponse: { queryParametersToRemove: ['a'] } }],
    ['another action on a header', { okResponse: { headers: [{ header: { key: 'a' }, appendAction: 0 }] } }],
    ['no action on a header', { okResponse: { headers: [{ header: { key: 'a' } }] } }],
    ['a raw header', { okResponse: { headers: [{ header: { rawValue: Buffer.from('a') } }] } }],
    ['details of a status', { status: { details: [] } }],
    ['a status by name', { deniedResponse: { status: { code: 'Forbidden' } } }],
    ['a null in the metadata', { dynamicMetadata: { fields: { a: { nullValue: 'NULL_VALUE' } } } }],
  ] satisfies [string, CheckResponse][])('with %s is a fault, not a response without it', (_, response) => {
    expect(() => encodeCheckResponse(response)).toThrow('no encoding');
  });
});

describe('the messages of health', () => {
  it.each(['SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const)(
    'are those of proto-loader for %s',
    (status) => {
      expect(writeHealth(status)).toEqual(lengthPrefixed(theirs.Check.responseSerialize({ status })));
      const list = { statuses: { '': { status }, 'a.b': { status } } };
      const ours = writeHealthList(
        new Map([
          ['', status],
          ['a.b', status],
        ]),
      );
      expect(ours).toEqual(lengthPrefixed(theirs.List.responseSerialize(list)));
    },
  );

  it('are read as proto-loader reads them', () => {
    fc.assert(
      fc.property(fc.record({ service: text }, { requiredKeys: [] }), (request) => {
        const bytes = theirs.Check.requestSerialize(request);
        expect(readHealthRequest(bytes)).toBe(theirs.Watch.requestDeserialize(bytes).service ?? '');
      }),
    );
    expect(readHealthRequest(Buffer.from([0x0a, 5, 1]))).toBe(malformedRequest);
  });
});
