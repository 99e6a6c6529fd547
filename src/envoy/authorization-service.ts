import type { Check, CheckRequest } from '../check/check-request.ts';
import { deny, type Decision } from '../check/decision.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { createCheckRequestDecoder, type CheckRequestDecoder } from './check-request.ts';
import type { Responder } from './check-response.ts';
import { createEncodedResponder, type EncodedResponder } from './encoded-response.ts';
import type { WantedHeaders } from './wanted-headers.ts';
import { createWholeTurn } from './whole-turn.ts';

export type AuthorizationServiceOptions = {
  check: Check;
  respond: Responder;
  /** Counts and logs a decision; `durationMs` from the decoded request to the decision. */
  record(decision: Decision, request: CheckRequest | undefined, durationMs: number): void;
  /** Answers when the check throws, in shadow mode too: nothing says then what would have to be stripped. */
  respondToFault: Responder;
  /** The headers that the check and the responders look at; default all. */
  headers?: WantedHeaders;
  clock: Clock;
  log: Log;
};

/** `Authorization/Check` without its transport. */
export type AuthorizationService = {
  readonly decode: CheckRequestDecoder;
  /**
   * Decides and answers once, after a whole turn of the event loop: a revocation that was here before the request is
   * known by then. No promise is made for a token verified before.
   * @param send gets the response with gRPC's prefix; equal responses may be the same bytes
   */
  answer(request: CheckRequest | undefined, send: (response: Buffer) => void): void;
};

/**
 * The service that Envoy asks. A fault becomes a refusal, never a gRPC error whose treatment would be up to Envoy's
 * `failure_mode_allow`, and its message stays here.
 */
export function createAuthorizationService(options: AuthorizationServiceOptions): AuthorizationService {
  const { check, record, clock, log } = options;
  const respond = createEncodedResponder(options.respond);
  const respondToFault = createEncodedResponder(options.respondToFault);

  function answer(request: CheckRequest | undefined, send: (response: Buffer) => void): void {
    const startedMs = clock.monotonicMs();
    const finish = (decision: Decision, build: EncodedResponder): void => {
      record(decision, request, clock.monotonicMs() - startedMs);
      send(build(decision, request));
    };
    const fail = (thrown: unknown): void => {
      log.error('check failed', { err: thrown });
      finish(deny('internal_error'), respondToFault);
    };
    try {
      const decision = check(request);
      if (decision instanceof Promise) decision.then((settled) => finish(settled, respond)).catch(fail);
      else finish(decision, respond);
    } catch (thrown) {
      fail(thrown);
    }
  }

  const afterWholeTurn = createWholeTurn();
  return {
    decode: createCheckRequestDecoder(options.headers),
    answer: (request, send) => afterWholeTurn(() => answer(request, send)),
  };
}
