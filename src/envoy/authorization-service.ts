import type { sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js';
import type { Check, CheckRequest } from '../check/check-request.ts';
import { deny, type Decision } from '../check/decision.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { toCheckRequest } from './check-request.ts';
import type { Responder } from './check-response.ts';
import type { AuthorizationHandlers } from './generated/envoy/service/auth/v3/Authorization.ts';
import type { CheckRequest__Output as CheckMessage } from './generated/envoy/service/auth/v3/CheckRequest.ts';
import type { CheckResponse } from './generated/envoy/service/auth/v3/CheckResponse.ts';

export type AuthorizationServiceOptions = {
  check: Check;
  respond: Responder;
  /** Counts and logs a decision; `durationMs` from the decoded request to the decision. */
  record(decision: Decision, request: CheckRequest | undefined, durationMs: number): void;
  /** Answers when the check throws, in shadow mode too: nothing says then what would have to be stripped. */
  respondToFault: Responder;
  clock: Clock;
  log: Log;
};

/**
 * The handler of `Authorization/Check`. A fault becomes a refusal, never a gRPC error whose treatment would be up
 * to Envoy's `failure_mode_allow`, and its message stays here.
 */
export function createAuthorizationService(options: AuthorizationServiceOptions): AuthorizationHandlers {
  const { check, respond, record, clock, log } = options;

  function Check(
    call: ServerUnaryCall<CheckMessage, CheckResponse>,
    answer: sendUnaryData<CheckResponse>,
  ): void {
    const request = toCheckRequest(call.request);
    const startedMs = clock.monotonicMs();
    const finish = (decision: Decision, build: Responder): void => {
      record(decision, request, clock.monotonicMs() - startedMs);
      answer(null, build(decision, request));
    };
    const fail = (thrown: unknown): void => {
      log.error('check failed', { err: thrown });
      finish(deny('internal_error'), options.respondToFault);
    };
    try {
      const decision = check(request);
      // Synchronous for a token verified before: no promise is made then.
      if (decision instanceof Promise) decision.then((settled) => finish(settled, respond)).catch(fail);
      else finish(decision, respond);
    } catch (thrown) {
      fail(thrown);
    }
  }

  return { Check };
}
