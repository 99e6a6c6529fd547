import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { OwnerMetrics } from '../runtime/metrics.ts';
import { networkOf } from '../runtime/network.ts';
import type { HandleAccepted, AcceptedOutcome } from './accepted-delivery.ts';
import type { DeliveryLimits, DeliverySource } from './delivery-limits.ts';
import type { KnownSources } from './known-sources.ts';
import type { MissedNotices } from './missed-notices.ts';
import {
  emptyAnswer,
  receiverFields,
  refusals,
  refuseDelivery,
  type Answer,
  type Evaluation,
  type Receiver,
  type DeliveryRefusal,
  type Refused,
} from './receiver.ts';
import type { RefusalThrottle } from './refusal-throttle.ts';
import { readBody } from './request-body.ts';
import type { WatchedSecrets } from './watched-secrets.ts';

export type DeliveryHandlerOptions = {
  readonly handleAccepted: HandleAccepted;
  readonly limits: DeliveryLimits;
  readonly sources: KnownSources;
  readonly missed: MissedNotices;
  /** Limits the log lines about refusals. */
  readonly throttle: RefusalThrottle;
  /** The address that sent a request. */
  clientAddress(request: IncomingMessage): string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<OwnerMetrics, 'receivedEvents'>;
};

export type GuardedReceiver = {
  readonly receiver: Receiver;
  /** Accepted values of `Authorization`, as digests. Empty: the header isn't checked. */
  readonly authorization: WatchedSecrets<Buffer>;
  /** How long the sender retries a delivery; ms. 0: it doesn't retry. */
  readonly redeliveryMs: number;
};

export type HandleDelivery = (
  guarded: GuardedReceiver,
  request: IncomingMessage,
  response: ServerResponse,
) => Promise<void>;

/** Longest time from the head of a request to the end of its body; ms. */
const bodyTimeoutMs = 2000;
/** After this time a sender gets status 503, while the work on its delivery continues; ms. */
const answerTimeoutMs = 12_000;

type Outcome = AcceptedOutcome | { readonly result: 'ignored' | DeliveryRefusal; readonly answer: Answer };

/** Reads, evaluates and answers deliveries. It answers with 2xx only when everything is committed. */
export function createDeliveryHandler(options: DeliveryHandlerOptions): HandleDelivery {
  const { clock, metrics, log, sources } = options;
  const reportRefusal = createRefusalReport(options);

  /** @returns undefined if the client closed the connection before the end of the body */
  async function handle(guarded: GuardedReceiver, request: IncomingMessage): Promise<Outcome | undefined> {
    const { receiver } = guarded;
    const network = networkOf(options.clientAddress(request));
    const source = { network, isKnown: sources.has(receiver.path, network) };
    let share = 0;
    const dropped = (used: number): void => {
      share = used;
    };
    const context = { source, dropped, nowMs: clock.nowMs(), limits: options.limits };
    const evaluation = await evaluate(guarded, request, context);
    if (evaluation === undefined) return undefined;
    if (evaluation.kind === 'refused') {
      reportRefusal(guarded, evaluation, { network, share });
      return { result: evaluation.reason, answer: receiver.refused(evaluation) };
    }
    if (evaluation.kind === 'accepted') {
      const outcome = await options.handleAccepted(guarded, evaluation);
      // A duplicate proves nothing about its network: anyone could have copied an earlier delivery.
      if (outcome.result === 'accepted') sources.add(receiver.path, network);
      return outcome;
    }
    log.debug('delivery ignored', { ...receiverFields(receiver), event: evaluation.event });
    return { result: 'ignored', answer: receiver.accepted };
  }

  return async (guarded, request, response) => {
    if (request.method !== 'POST') return send(response, methodNotAllowed);
    const timer = setTimeout(() => send(response, later), answerTimeoutMs).unref();
    try {
      const outcome = await handle(guarded, request);
      // The client closed the connection before the end of its body: there is nobody to answer and nothing to
      // log.
      if (outcome === undefined) return;
      metrics.receivedEvents.inc({ source: guarded.receiver.kind, result: outcome.result });
      send(response, outcome.answer);
    } finally {
      clearTimeout(timer);
    }
  };
}

type ReportRefusal = (
  guarded: GuardedReceiver,
  refusal: Refused,
  from: { readonly network: string; readonly share: number },
) => void;

/** Logs refusals, and records those that may have cost an authentic notice. */
function createRefusalReport(options: DeliveryHandlerOptions): ReportRefusal {
  const { log, throttle, missed, sources } = options;
  return (guarded, { reason, detail }, { network, share }) => {
    const { receiver } = guarded;
    // Signed and unsigned deliveries have separate limits, so that a flood of forged deliveries can't hide
    // the refusals of signed ones. Signed ones are limited too: a provider also signs tokens for others, and
    // anyone may send them.
    const limited = refusals[reason].isBeforeSignature ? network : `signed ${network}`;
    const isLimited = throttle.waitMs(limited) > 0;
    throttle.refused(limited);
    log[isLimited ? 'debug' : 'warn']('delivery refused', { ...receiverFields(receiver), reason, ...detail });
    if (reason === 'keys_unavailable') missed.possible(guarded, 'keys');
    if (reason === 'overloaded' && sources.mayBeAuthentic(receiver.path, network, share))
      missed.possible(guarded, 'unread');
  };
}

type EvaluationContext = Pick<DeliveryHandlerOptions, 'limits'> & {
  readonly source: DeliverySource;
  dropped(share: number): void;
  readonly nowMs: number;
};

async function evaluate(
  guarded: GuardedReceiver,
  request: IncomingMessage,
  { limits, source, dropped, nowMs }: EvaluationContext,
): Promise<Evaluation | undefined> {
  const { receiver } = guarded;
  const { maxBodyBytes: maxBytes } = receiver;
  const unfit = checkHead(guarded, request);
  if (unfit !== undefined) return unfit;
  const read = await readBody(request, {
    maxBytes,
    timeoutMs: bodyTimeoutMs,
    bodies: limits.bodies,
    owner: source.network,
    isReserved: source.isKnown,
    dropped,
  });
  if (read.kind === 'broken_off') return undefined;
  if (read.kind !== 'whole') return refuseDelivery(read.kind, { expected: expectedOf(read.kind, maxBytes) });
  const { body } = read;
  const allowance = limits.allow(source, body.length, dropped);
  const header = (name: string): string | undefined => {
    const value = request.headers[name];
    return typeof value === 'string' ? value : undefined;
  };
  return await receiver.evaluate({ body, header, allowance }, nowMs);
}

function expectedOf(reason: 'too_large' | 'too_slow' | 'overloaded', maxBytes: number): string {
  switch (reason) {
    case 'too_large':
      return `at most ${maxBytes} bytes`;
    case 'too_slow':
      return `the body within ${bodyTimeoutMs} ms`;
    case 'overloaded':
      return 'room for the body';
  }
}

/** Checks the head of a request before any of its body is read. */
function checkHead(
  { receiver, authorization }: GuardedReceiver,
  { headers }: IncomingMessage,
): Refused | undefined {
  const { current: expected } = authorization;
  const given = authorizationDigest(headers.authorization ?? '');
  if (expected.length > 0 && !expected.some((one) => timingSafeEqual(one, given)))
    return refuseDelivery('unauthenticated');
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type === receiver.mediaType) return undefined;
  return refuseDelivery('malformed', { claim: 'content-type', expected: receiver.mediaType });
}

/** A digest has the same length for all values, so that they can be compared in constant time. */
export const authorizationDigest = (text: string): Buffer => createHash('sha256').update(text).digest();

const methodNotAllowed: Answer = { status: 405, headers: { allow: 'POST', 'cache-control': 'no-store' } };
const later = emptyAnswer(503);
const retryAfterSeconds = 5;

/** Sends an answer, unless the request was already answered. */
function send(response: ServerResponse, { status, headers, body }: Answer): void {
  if (response.headersSent) return;
  const { complete } = response.req;
  response
    .writeHead(status, {
      'x-content-type-options': 'nosniff',
      ...(status === 503 ? { 'retry-after': `${retryAfterSeconds}` } : {}),
      ...headers,
      // Closing the connection is cheaper than reading the rest of the body.
      ...(complete ? {} : { connection: 'close' }),
    })
    .end(body);
}
