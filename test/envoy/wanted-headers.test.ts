import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CheckRequest } from '../../src/check/check-request.ts';
import { deny } from '../../src/check/decision.ts';
import { createForwarding } from '../../src/check/forwarding.ts';
import { createCheckRequestDecoder } from '../../src/envoy/check-request.ts';
import { malformedRequest as malformed } from '../../src/grpc/method.ts';
import { createDeniedAnswer, type DeniedOptions } from '../../src/envoy/denied-answer.ts';
import { authorizationDefinition } from './protocol.ts';
import { wantedHeaders } from '../../src/envoy/wanted-headers.ts';
import { createAuthorizerMetrics, createRegistry } from '../../src/runtime/metrics.ts';
import { createCredentialExtractor, type CredentialSource } from '../../src/token/credential.ts';

const sources: readonly CredentialSource[] = [
  { header: 'authorization' },
  { header: 'x-token' },
  { cookie: 'session' },
];
const prefix = 'x-auth-';
const findCredential = createCredentialExtractor({ sources, maxTokenBytes: 100 });
const forwarding = createForwarding({
  prefix,
  headers: { 'x-auth-subject': 'sub' },
  forwardAuthorization: false,
  sources,
  metrics: createAuthorizerMetrics(createRegistry()),
});
const loginRedirect = { url: 'https://login.example' };
const settings: readonly DeniedOptions[] = [
  { detail: 'minimal', corsOrigins: ['https://a.example'], loginRedirect },
  { detail: 'minimal', corsOrigins: ['https://a.example'] },
  { detail: 'minimal', corsOrigins: [], loginRedirect },
  { detail: 'minimal', corsOrigins: [] },
];

/** Everything that is derived from a request's headers. */
const readBy = (
  request: CheckRequest | undefined | typeof malformed,
  deniedAnswer: ReturnType<typeof createDeniedAnswer>,
) =>
  request === undefined || request === malformed
    ? request
    : {
        credential: findCredential(request.headers),
        removed: forwarding.removeAlways(request).toSorted(),
        answer: deniedAnswer(deny('expired'), request),
      };

const spelled = (name: string) =>
  fc
    .tuple(
      fc.array(fc.boolean(), { minLength: name.length, maxLength: name.length }),
      fc.constantFrom('-', '_', '.', 'é', 'K'),
    )
    .map(([upper, dash]) =>
      name
        .split('')
        .map((letter, index) => (upper[index] === true ? letter.toUpperCase() : letter))
        .join('')
        .replaceAll('-', dash),
    );
const name = fc.oneof(
  fc.constantFrom('authorization', 'x-token', 'cookie', 'content-type', 'origin', 'accept', 'sec-fetch-mode'),
  fc.constantFrom('x-auth-subject', 'x-auth-', 'x-auth-other', 'x-auth', 'x-token', 'x-t').chain(spelled),
  fc.string({ maxLength: 16 }),
);
const value = fc.constantFrom(
  'Bearer abc',
  'abc',
  'session=abc; a=b',
  'application/grpc',
  'https://a.example',
  'text/html',
  'navigate',
);
const headers = fc.array(fc.record({ key: name, rawValue: value.map((text) => Buffer.from(text)) }), {
  maxLength: 12,
});

describe('headers that are not read', () => {
  it.each(settings)(
    'make no difference to the credential, to what is taken away, or to a refusal: %j',
    (denied) => {
      const all = createCheckRequestDecoder();
      const some = createCheckRequestDecoder(wantedHeaders(sources, prefix, denied));
      const answer = createDeniedAnswer(denied);
      const { requestSerialize } = authorizationDefinition.Check;
      fc.assert(
        fc.property(headers, (list) => {
          const bytes = requestSerialize({
            attributes: { request: { http: { method: 'GET', path: '/', headerMap: { headers: list } } } },
          });
          expect(readBy(some(bytes), answer)).toEqual(readBy(all(bytes), answer));
        }),
        { numRuns: 1000 },
      );
    },
  );
});
