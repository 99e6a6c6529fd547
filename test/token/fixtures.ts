import { Registry } from 'prom-client';
import type { Clock } from '../../src/runtime/clock.ts';
import { createLog, type Log } from '../../src/runtime/log.ts';
import { createAuthorizerMetrics } from '../../src/runtime/metrics.ts';
import type { Algorithm } from '../../src/vocabulary/algorithms.ts';
import { issuerRules, type IssuerOptions } from '../../src/token/issuer-rules.ts';
import { parseJwkSet } from '../../src/token/jwk-set.ts';
import { createFixedKeySet } from './fixed-key-set.ts';
import type { TrustedIssuer } from '../../src/token/verify-token.ts';
import { TokenEntry } from '../../src/token/token-table.ts';
import { createVerifier, type Verifier, type VerifierOptions } from '../../src/token/verifier.ts';
import { jwkSetOf, testIssuer, testKey, testNow, type TestKey } from './tokens.ts';

/** A clock that moves only when told. */
export type SteppedClock = Clock & { nowSeconds: number };

export function steppedClock(nowSeconds = testNow): SteppedClock {
  const clock = {
    nowSeconds,
    nowMs: () => clock.nowSeconds * 1000,
    monotonicMs: () => clock.nowSeconds * 1000,
  };
  return clock;
}

export const testMetrics = () => createAuthorizerMetrics(new Registry());

/** A log and the lines it was given, as text. */
export function capturedLog(): { log: Log; text(): string; lines(): Record<string, unknown>[] } {
  const written: string[] = [];
  const destination = { write: (line: string) => void written.push(line) };
  return {
    log: createLog({ program: 'test', level: 'debug', destination }),
    text: () => written.join(''),
    lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

/** An issuer whose keys are these; `testKey('RS256')` unless said otherwise. */
export function trusted(options: Partial<IssuerOptions> = {}, ...keys: readonly TestKey[]): TrustedIssuer {
  const rules = issuerRules({ issuer: testIssuer, audiences: ['orders'], ...options });
  const listed = keys.length > 0 ? keys : [testKey()];
  return { rules, keySet: createFixedKeySet(parseJwkSet(jwkSetOf(...listed), rules.algorithms).keys) };
}

/** Verifies texts too. */
export type TestVerifier = Omit<Verifier, 'verify'> & {
  verify(token: string | TokenEntry): ReturnType<Verifier['verify']>;
  readonly clock: SteppedClock;
};

export function testVerifier(
  issuers: readonly TrustedIssuer[] = [trusted()],
  options: Partial<VerifierOptions> & { clock?: SteppedClock } = {},
): TestVerifier {
  const clock = options.clock ?? steppedClock();
  const verifier = createVerifier({ issuers, metrics: testMetrics(), ...options, clock });
  return {
    ...verifier,
    verify: (token) => verifier.verify(typeof token === 'string' ? new TokenEntry(token) : token),
    clock,
  };
}

export const everyAsymmetric: readonly Algorithm[] = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
];
