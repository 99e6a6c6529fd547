import { status as grpc, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import type { Check, CheckRequest } from '../check/check-request.ts';
import type { Decision } from '../check/decision.ts';
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
  /** Names of the request's headers that only we may set: stripped even when the check itself failed. */
  reservedHeaders(request: CheckRequest): readonly string[];
  clock: Clock;
  log: Log;
};

/**
 * The handler of `Authorization/Check`. A fault becomes a refusal, never a gRPC error whose treatment would be up
 * to Envoy's `failure_mode_allow`, and its message stays here.
 */
export function createAuthorizationService(options: AuthorizationServiceOptions): AuthorizationHandlers {
  const { check, respond, record, reservedHeaders, clock, log } = options;

  function failed(thrown: unknown, request: CheckRequest | undefined): Decision {
    log.error('check failed', { err: thrown });
    return {
      kind: 'deny',
      reason: 'internal_error',
      detail: undefined,
      token: undefined,
      requiredScopes: undefined,
      remove: request === undefined ? [] : reservedHeaders(request),
    };
  }

  function decide(request: CheckRequest | undefined): Decision | Promise<Decision> {
    try {
      const decision = check(request);
      // Synchronous for a token verified before: no promise is made then.
      if (!(decision instanceof Promise)) return decision;
      return decision.catch((thrown: unknown) => failed(thrown, request));
    } catch (thrown) {
      return failed(thrown, request);
    }
  }

  function Check(
    call: ServerUnaryCall<CheckMessage, CheckResponse>,
    answer: sendUnaryData<CheckResponse>,
  ): void {
    const request = toCheckRequest(call.request);
    const startedMs = clock.monotonicMs();
    const finish = (decision: Decision): void => {
      record(decision, request, clock.monotonicMs() - startedMs);
      answer(null, respond(decision, request));
    };
    // Only building the response itself can still fail: then a bare error, which Envoy refuses by its configuration.
    const fail = (thrown: unknown): void => {
      log.error('check could not be answered', { err: thrown });
      answer({ code: grpc.INTERNAL, details: 'internal error' });
    };
    try {
      const decision = decide(request);
      if (decision instanceof Promise) decision.then(finish).catch(fail);
      else finish(decision);
    } catch (thrown) {
      fail(thrown);
    }
  }

  return { Check };
}
