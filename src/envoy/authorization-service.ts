import type { Check, CheckRequest } from '../check/check-request.ts';
import { deny, type Decision } from '../check/decision.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { createCheckRequestDecoder, type CheckRequestDecoder } from './check-request.ts';
import type { Responder } from './check-response.ts';
import { createEncodedResponder, type EncodedResponder } from './encoded-response.ts';
import type { WantedHeaders } from './wanted-headers.ts';
import { createReadBarrier } from '../runtime/read-barrier.ts';

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

/** Where an answer goes. */
export type Reply = {
  /** Called once, with gRPC's prefix before the response; equal responses may be the same bytes. */
  send(response: Buffer): void;
};

/** `Authorization/Check` without its transport. */
export type AuthorizationService = {
  readonly decode: CheckRequestDecoder;
  /**
   * Decides and answers once, after a whole turn of the event loop: a revocation that was here before the request is
   * known by then. No promise is made for a token verified before.
   */
  answer(request: CheckRequest | undefined, reply: Reply): void;
};

type Question = {
  readonly request: CheckRequest | undefined;
  readonly reply: Reply;
  /** When its turn came. */
  startedMs: number;
};

/**
 * The service that Envoy asks. A fault becomes a refusal, never a gRPC error whose treatment would be up to Envoy's
 * `failure_mode_allow`, and its message stays here.
 */
export function createAuthorizationService(options: AuthorizationServiceOptions): AuthorizationService {
  const { check, record, clock, log } = options;
  const respond = createEncodedResponder(options.respond);
  const respondToFault = createEncodedResponder(options.respondToFault);

  function finish(
    { request, reply, startedMs }: Question,
    decision: Decision,
    build: EncodedResponder,
  ): void {
    record(decision, request, clock.monotonicMs() - startedMs);
    reply.send(build(decision, request));
  }

  function fail(question: Question, thrown: unknown): void {
    log.error('check failed', { err: thrown });
    finish(question, deny('internal_error'), respondToFault);
  }

  function decide(question: Question): void {
    question.startedMs = clock.monotonicMs();
    try {
      const decision = check(question.request);
      if (decision instanceof Promise) settle(question, decision);
      else finish(question, decision, respond);
    } catch (thrown) {
      fail(question, thrown);
    }
  }

  function settle(question: Question, decision: Promise<Decision>): void {
    decision
      .then((settled) => finish(question, settled, respond))
      .catch((thrown: unknown) => fail(question, thrown));
  }

  const decideAfterBarrier = createReadBarrier(decide);
  return {
    decode: createCheckRequestDecoder(options.headers),
    answer: (request, reply) => decideAfterBarrier({ request, reply, startedMs: 0 }),
  };
}
