import { describe, expect, it } from 'vitest';
import type { CheckRequest } from '../../src/check/check-request.ts';
import type { Decision, Reason } from '../../src/check/decision.ts';
import { createResponder, type ResponderOptions } from '../../src/envoy/check-response.ts';
import type { CheckResponse__Output } from './generated/envoy/service/auth/v3/CheckResponse.ts';
import { authorizationDefinition } from './protocol.ts';
import { allowed, denied } from '../grpc/grpc-fixture.ts';

const { responseSerialize, responseDeserialize } = authorizationDefinition.Check;

const request = (overrides: {
  method?: string;
  path?: string;
  headers?: Record<string, string | string[]>;
}) =>
  ({
    method: 'GET',
    host: 'orders',
    path: '/orders?page=2',
    ...overrides,
    headers: new Map(Object.entries(overrides.headers ?? {}).map(([name, value]) => [name, [value].flat()])),
    contextExtensions: new Map(),
  }) satisfies CheckRequest;

function answer(
  decision: Decision,
  asked: CheckRequest | undefined = request({}),
  options: {
    denied?: Partial<ResponderOptions['denied']>;
    mode?: ResponderOptions['mode'];
    metadata?: boolean;
  } = {},
): CheckResponse__Output {
  const respond = createResponder({
    denied: { detail: 'minimal', corsOrigins: [], ...options.denied },
    mode: options.mode ?? 'enforce',
    metadata: options.metadata ?? true,
  });
  return responseDeserialize(responseSerialize(respond(decision, asked)));
}

const headersOf = ({ okResponse, deniedResponse }: CheckResponse__Output) =>
  Object.fromEntries(
    ((deniedResponse ?? okResponse)?.headers ?? []).map(({ header }) => [
      header?.key ?? '',
      header?.value ?? '',
    ]),
  );

// Every reason; a new one fails to compile until it has a row.
const rows: Record<Reason, [http: number, grpc: number, code: string | undefined]> = {
  no_token: [401, 16, undefined],
  malformed_token: [401, 16, 'invalid_token'],
  multiple_tokens: [401, 16, 'invalid_token'],
  unknown_issuer: [401, 16, 'invalid_token'],
  algorithm_not_allowed: [401, 16, 'invalid_token'],
  unknown_key: [401, 16, 'invalid_token'],
  bad_signature: [401, 16, 'invalid_token'],
  wrong_type: [401, 16, 'invalid_token'],
  missing_claim: [401, 16, 'invalid_token'],
  expired: [401, 16, 'invalid_token'],
  not_yet_valid: [401, 16, 'invalid_token'],
  lifetime_too_long: [401, 16, 'invalid_token'],
  wrong_audience: [401, 16, 'invalid_token'],
  revoked: [401, 16, 'invalid_token'],
  freshness_unproven: [401, 16, 'invalid_token'],
  insufficient_scope: [403, 7, 'insufficient_scope'],
  misconfigured_route: [500, 13, 'unavailable'],
  not_ready: [503, 14, 'unavailable'],
  keys_unavailable: [503, 14, 'unavailable'],
  overloaded: [503, 14, 'unavailable'],
  internal_error: [503, 14, 'unavailable'],
};
const reasons = Object.keys(rows) as Reason[];

describe('a denied answer', () => {
  it.each(Object.entries(rows))('for %s has the status of the table', (reason, [http, grpc, code]) => {
    const response = answer(denied(reason as Reason));
    expect(response.status?.code).toBe(grpc);
    expect(response.deniedResponse?.status?.code).toBe(http);
    expect(JSON.parse(response.deniedResponse?.body ?? '')).toEqual({
      type: `urn:curfew:problem:${code ?? 'no_token'}`,
      title: expect.stringMatching(/./),
      status: http,
      ...(code !== undefined && { code }),
    });
    expect(headersOf(response)).toMatchObject({
      'cache-control': 'no-store',
      'content-type': 'application/problem+json',
    });
  });

  it('never says OK at the top, and never holds an ok response', () => {
    for (const reason of reasons) {
      const response = answer(denied(reason));
      expect(response.status?.code).not.toBe(0);
      expect(response.okResponse).toBeUndefined();
    }
  });

  it('overwrites headers, whatever Envoy has by that name', () => {
    const actions = answer(denied('expired')).deniedResponse?.headers?.map(
      ({ appendAction }) => appendAction,
    );
    expect(new Set(actions)).toEqual(new Set([2]));
  });

  it('challenges without an error when no token came (RFC 6750 §3.1)', () => {
    expect(headersOf(answer(denied('no_token')))['www-authenticate']).toBe('Bearer realm="curfew"');
  });

  it('challenges with invalid_token and the configured realm', () => {
    const response = answer(denied('revoked'), undefined, { denied: { realm: 'Orders (live)' } });
    expect(headersOf(response)['www-authenticate']).toBe(
      'Bearer realm="Orders (live)", error="invalid_token"',
    );
  });

  it('names the scopes a route asks for', () => {
    const response = answer(denied('insufficient_scope', { requiredScopes: 'read write' }));
    expect(headersOf(response)['www-authenticate']).toBe(
      'Bearer realm="curfew", error="insufficient_scope", scope="read write"',
    );
  });

  it('leaves out scopes that would end the quoted string', () => {
    const response = answer(denied('insufficient_scope', { requiredScopes: 'a", realm="x' }));
    expect(headersOf(response)['www-authenticate']).toBe('Bearer realm="curfew", error="insufficient_scope"');
  });

  it.each(['misconfigured_route', 'not_ready', 'keys_unavailable', 'overloaded', 'internal_error'] as const)(
    'does not challenge for %s: another token would not help',
    (reason) => {
      expect(headersOf(answer(denied(reason)))).not.toHaveProperty('www-authenticate');
    },
  );

  it('says when to come back exactly with 503', () => {
    const withRetryAfter = reasons.filter((reason) =>
      /^[1-9]$/.test(headersOf(answer(denied(reason)))['retry-after'] ?? ''),
    );
    expect(withRetryAfter).toEqual(reasons.filter((reason) => rows[reason][0] === 503));
  });

  it('keeps the reason out of the body unless the detail is full', () => {
    expect(answer(denied('revoked')).deniedResponse?.body).not.toContain('revoked');
    const full = answer(denied('revoked'), undefined, { denied: { detail: 'full' } });
    expect(JSON.parse(full.deniedResponse?.body ?? '')).toMatchObject({
      code: 'invalid_token',
      reason: 'revoked',
    });
  });

  it("tells Envoy's access log the reason", () => {
    const fields = answer(denied('expired')).dynamicMetadata?.fields?.['curfew']?.structValue?.fields;
    expect(fields?.['decision']?.stringValue).toBe('deny');
    expect(fields?.['reason']?.stringValue).toBe('expired');
  });
});

describe('a gRPC caller', () => {
  it.each(Object.entries(rows))('denied for %s gets the grpc-status', (reason, [, grpc, code]) => {
    const response = answer(
      denied(reason as Reason),
      request({ headers: { 'content-type': 'application/grpc+proto' } }),
    );
    expect(headersOf(response)['grpc-status']).toBe(String(grpc));
    expect(response.deniedResponse?.body).toBe(code ?? 'The request needs an access token.');
    expect(headersOf(response)).not.toHaveProperty('content-type');
  });

  it.each(['application/grpc-web', 'application/grpcx', 'application/json'])('is not one with %s', (type) => {
    const response = answer(denied('expired'), request({ headers: { 'content-type': type } }));
    expect(headersOf(response)).not.toHaveProperty('grpc-status');
  });
});

describe('a page of another origin', () => {
  const options = { denied: { corsOrigins: ['https://app.example'] } };

  it('that is configured may read the refusal', () => {
    const asked = request({ headers: { origin: 'https://app.example' } });
    expect(headersOf(answer(denied('expired'), asked, options))).toMatchObject({
      'access-control-allow-origin': 'https://app.example',
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'www-authenticate, retry-after',
      vary: 'origin',
    });
  });

  it.each(['https://app.example.evil', 'http://app.example', 'null', 'HTTPS://APP.EXAMPLE'])(
    'that is not configured may not: %s',
    (origin) => {
      const headers = headersOf(answer(denied('expired'), request({ headers: { origin } }), options));
      expect(headers).not.toHaveProperty('access-control-allow-origin');
    },
  );

  it('with two origins may not', () => {
    const asked = request({ headers: { origin: ['https://app.example', 'https://evil.example'] } });
    expect(headersOf(answer(denied('expired'), asked, options))).not.toHaveProperty(
      'access-control-allow-origin',
    );
  });
});

describe('a browser that navigates', () => {
  const loginRedirect = { url: 'https://login.example/start?app=orders', returnParameter: 'return_to' };
  const options = { denied: { loginRedirect } };
  const html = { accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8' };

  it('is sent to the login page, with the way back', () => {
    const response = answer(denied('no_token'), request({ headers: html }), options);
    expect(response.deniedResponse?.status?.code).toBe(302);
    expect(response.status?.code).toBe(16);
    expect(headersOf(response)).toEqual({
      location: 'https://login.example/start?app=orders&return_to=%2Forders%3Fpage%3D2',
      'cache-control': 'no-store',
    });
    expect(response.deniedResponse?.body ?? '').toBe('');
  });

  it.each([
    '//evil.example/',
    '/\\evil.example',
    '/a\\b',
    'https://evil.example/',
    '*',
    `/${'a'.repeat(2048)}`,
  ])('gets no way back to %s', (path) => {
    const response = answer(denied('no_token'), request({ path, headers: html }), options);
    expect(headersOf(response)['location']).toBe('https://login.example/start?app=orders');
  });

  it.each([
    ['a POST', request({ method: 'POST', headers: html })],
    ['a script', request({ headers: { ...html, 'sec-fetch-mode': 'cors' } })],
    ['a client of an API', request({ headers: { accept: 'application/json' } })],
    ['a client that takes anything', request({ headers: { accept: '*/*' } })],
    ['a client without accept', request({})],
    ['a request without attributes', undefined],
  ])('is not %s', (_, asked) => {
    expect(answer(denied('no_token'), asked, options).deniedResponse?.status?.code).toBe(401);
  });

  it.each(['insufficient_scope', 'not_ready', 'misconfigured_route'] as const)(
    'is not sent to log in for %s: it would not help',
    (reason) => {
      const response = answer(denied(reason), request({ headers: html }), options);
      expect(response.deniedResponse?.status?.code).not.toBe(302);
    },
  );

  it('gets the 401 when no login page is configured', () => {
    expect(answer(denied('no_token'), request({ headers: html })).deniedResponse?.status?.code).toBe(401);
  });
});

describe('an allowed answer', () => {
  const decision = allowed({
    upstream: {
      set: [['x-auth-subject', 'alice']],
      metadata: {
        sub: 'alice',
        session: 's1',
        iss: 'https://idp',
        scopes: ['read', 'write'],
        exp: 1_700_000_060,
      },
    },
    remove: ['x-auth-role', 'authorization'],
  });

  it('overwrites identity headers and removes what is to be removed', () => {
    const { status, okResponse, deniedResponse } = answer(decision);
    expect(status?.code ?? 0).toBe(0);
    expect(deniedResponse).toBeUndefined();
    expect(okResponse?.headers).toEqual([
      { header: { key: 'x-auth-subject', value: 'alice' }, appendAction: 2 },
    ]);
    expect(okResponse?.headersToRemove).toEqual(['x-auth-role', 'authorization']);
  });

  it('leaves out the dynamic metadata of allowed requests if so configured, but not that of denied ones', () => {
    const usual = answer(decision);
    const without = answer(decision, undefined, { metadata: false });
    expect(without.okResponse).toEqual(usual.okResponse);
    expect(without.dynamicMetadata ?? undefined).toBeUndefined();
    expect(answer(denied('expired'), undefined, { metadata: false }).dynamicMetadata).toBeDefined();
  });

  it('describes the token in the dynamic metadata', () => {
    const fields = answer(decision).dynamicMetadata?.fields?.['curfew']?.structValue?.fields;
    expect(fields).toEqual({
      decision: { stringValue: 'allow' },
      sub: { stringValue: 'alice' },
      session: { stringValue: 's1' },
      iss: { stringValue: 'https://idp' },
      scopes: { listValue: { values: [{ stringValue: 'read' }, { stringValue: 'write' }] } },
      exp: { numberValue: 1_700_000_060 },
    });
  });

  it('without a token says no more than that', () => {
    const response = answer(allowed({ remove: ['x-auth-subject'] }));
    expect(response.okResponse?.headersToRemove).toEqual(['x-auth-subject']);
    expect(response.okResponse?.headers ?? []).toEqual([]);
    expect(Object.keys(response.dynamicMetadata?.fields?.['curfew']?.structValue?.fields ?? {})).toEqual([
      'decision',
    ]);
  });
});

describe('shadow mode', () => {
  it.each(reasons)('lets a request denied for %s pass, stripped and without an identity', (reason) => {
    const response = answer(denied(reason, { remove: ['x-auth-subject'] }), request({}), { mode: 'shadow' });
    expect(response.status?.code ?? 0).toBe(0);
    expect(response.deniedResponse).toBeUndefined();
    expect(response.okResponse).toEqual({ headersToRemove: ['x-auth-subject'] });
    const fields = response.dynamicMetadata?.fields?.['curfew']?.structValue?.fields;
    expect(fields).toEqual({
      decision: { stringValue: 'deny' },
      reason: { stringValue: reason },
      mode: { stringValue: 'shadow' },
    });
  });

  it('changes nothing about an allowed request', () => {
    const decision = allowed({ upstream: { set: [['x-auth-subject', 'alice']], metadata: undefined } });
    expect(answer(decision, request({}), { mode: 'shadow' })).toEqual(answer(decision));
  });
});
