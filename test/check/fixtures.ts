import type { RevocationFinding, Revocations } from '../../src/revocation/revocable.ts';
import type { CheckRequest } from '../../src/check/check-request.ts';
import { createCheck, type CheckOptions } from '../../src/check/check.ts';
import type { Decision } from '../../src/check/decision.ts';
import { capturedLog, testMetrics, testVerifier, type TestVerifier } from '../token/fixtures.ts';
import { issueToken, testNow, type TokenOverrides } from '../token/tokens.ts';

/** Revocations that always find the same. */
export const always = (finding: RevocationFinding): Revocations => ({ evaluate: () => finding });

export type TestCheck = {
  decide(request?: Partial<RequestParts>): Promise<Decision>;
  /** As `decide`, without a promise where the check needs none. */
  decideNow(request?: Partial<RequestParts>): Decision | Promise<Decision>;
  undecidable(): Decision | Promise<Decision>;
  readonly verifier: TestVerifier;
  readonly log: ReturnType<typeof capturedLog>;
  readonly metrics: ReturnType<typeof testMetrics>;
};

export type RequestParts = {
  /** Default: a good token in `authorization`. */
  token: string | undefined;
  headers: Record<string, string | readonly string[]>;
  route: Record<string, string>;
};

export const upstreamDefaults: CheckOptions['upstream'] = {
  prefix: 'x-auth-',
  headers: {
    'x-auth-subject': 'sub',
    'x-auth-session': 'grant_id',
    'x-auth-issuer': 'iss',
    'x-auth-scopes': 'scope',
  },
  forwardAuthorization: true,
};

export function testCheck(
  options: Partial<Omit<CheckOptions, 'verifier'>> & { verifier?: TestVerifier } = {},
): TestCheck {
  const log = capturedLog();
  const metrics = testMetrics();
  const verifier = options.verifier ?? testVerifier();
  const check = createCheck({
    verifier,
    revocations: always({ kind: 'clear' }),
    maxExposureMs: 30_000,
    sources: [{ header: 'authorization' }],
    maxTokenBytes: 8192,
    upstream: upstreamDefaults,
    isReady: () => true,
    clock: verifier.clock,
    log: log.log,
    metrics,
    ...options,
  });
  const decideNow = (parts: Partial<RequestParts> = {}) => check(requestOf(parts));
  return {
    decide: async (parts) => await decideNow(parts),
    decideNow,
    undecidable: () => check(undefined),
    verifier,
    log,
    metrics,
  };
}

export function requestOf(parts: Partial<RequestParts>): CheckRequest {
  const token = 'token' in parts ? parts.token : goodToken();
  const headers = new Map<string, readonly string[]>();
  if (token !== undefined) headers.set('authorization', [`Bearer ${token}`]);
  for (const [name, value] of Object.entries(parts.headers ?? {}))
    headers.set(name, typeof value === 'string' ? [value] : value);
  return {
    method: 'GET',
    host: 'orders.test',
    path: '/orders?page=1',
    headers,
    contextExtensions: new Map(Object.entries(parts.route ?? {})),
  };
}

/** A token as of the moment the tests stand at. */
export const goodToken = (overrides: TokenOverrides = {}): string =>
  issueToken({ now: testNow, ...overrides });
