import type { Check, CheckRequest } from '../check/check-request.ts';
import { deny, type Decision } from '../check/decision.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { TokenFinder } from './bearer-value.ts';
import { createCheckRequestDecoder } from './check-request.ts';
import type { UnaryMethod, UnaryReply } from '../grpc/method.ts';
import type { Responder } from './check-response.ts';
import { createEncodedResponder, type EncodedResponder } from './encoded-response.ts';
import { checkPath } from './method-names.ts';
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
  /** Finds a token that was verified before; default none. */
  findToken?: TokenFinder;
  clock: Clock;
  log: Log;
};

/**
 * `Authorization/Check`. It answers each request once, after a read barrier: it knows every revocation that
 * had arrived before the request. A token that was verified before is decided without a promise.
 */
export type AuthorizationService = UnaryMethod<CheckRequest | undefined>;

type Question = {
  readonly request: CheckRequest | undefined;
  readonly reply: UnaryReply;
  /** When the barrier had passed. */
  startedMs: number;
};

/**
 * Creates the method that Envoy calls. A fault becomes a denied response: a gRPC error would leave the
 * decision to Envoy's `failure_mode_allow`. The fault's message goes to the log alone.
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
      if (decision instanceof Promise) finishLater(question, decision);
      else finish(question, decision, respond);
    } catch (thrown) {
      fail(question, thrown);
    }
  }

  function finishLater(question: Question, decision: Promise<Decision>): void {
    decision
      .then((decided) => finish(question, decided, respond))
      .catch((thrown: unknown) => fail(question, thrown));
  }

  const decideAfterBarrier = createReadBarrier(decide);
  return {
    kind: 'unary',
    path: checkPath,
    decode: createCheckRequestDecoder(options.headers, options.findToken),
    answer: (request, reply) => decideAfterBarrier({ request, reply, startedMs: 0 }),
  };
}
