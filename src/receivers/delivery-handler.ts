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
  /** Limits the lines about refusals. */
  readonly throttle: RefusalThrottle;
  /** The address a request came from. */
  clientAddress(request: IncomingMessage): string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<OwnerMetrics, 'receivedEvents'>;
};

export type GuardedReceiver = {
  readonly receiver: Receiver;
  /** What `Authorization` must be; empty: the signature is enough. */
  readonly authorization: WatchedSecrets<Buffer>;
  /** How long its sender goes on trying to deliver; 0: it tries once. ms */
  readonly redeliveryMs: number;
};

export type HandleDelivery = (
  guarded: GuardedReceiver,
  request: IncomingMessage,
  response: ServerResponse,
) => Promise<void>;

/** From the head of a request to the end of its body; ms. */
const bodyWithinMs = 2000;
/** A sender is answered within this time. Its delivery is worked on all the same; ms. */
const answerWithinMs = 12_000;

type Outcome = AcceptedOutcome | { readonly result: 'ignored' | DeliveryRefusal; readonly answer: Answer };

/** Takes a delivery from its socket to its answer. A 2xx is sent only when everything is committed. */
export function createDeliveryHandler(options: DeliveryHandlerOptions): HandleDelivery {
  const { clock, metrics, log, sources } = options;

  /** @returns undefined when the client hung up before its body was here */
  async function take(guarded: GuardedReceiver, request: IncomingMessage): Promise<Outcome | undefined> {
    const { receiver } = guarded;
    const network = networkOf(options.clientAddress(request));
    const source = { network, isKnown: sources.has(receiver.path, network) };
    let share = 0;
    const dropped = (used: number): void => {
      share = used;
    };
    const evaluation = await evaluate(guarded, request, {
      source,
      dropped,
      nowMs: clock.nowMs(),
      ...options,
    });
    if (evaluation === undefined) return undefined;
    if (evaluation.kind === 'refused') return refused(guarded, evaluation, { network, share });
    if (evaluation.kind === 'accepted') {
      const outcome = await options.handleAccepted(guarded, evaluation);
      // A copy of an earlier one can be sent from anywhere.
      if (outcome.result === 'accepted') sources.add(receiver.path, network);
      return outcome;
    }
    log.debug('delivery changes nothing', { ...receiverFields(receiver), event: evaluation.event });
    return { result: 'ignored', answer: receiver.accepted };
  }

  function refused(guarded: GuardedReceiver, refusal: Refused, from: { network: string; share: number }) {
    const { receiver } = guarded;
    const { reason, detail } = refusal;
    const { isBeforeSignature } = refusals[reason];
    // Those of the sender's own stay visible beside forged ones. They are limited too, since a provider signs tokens for
    // others as well, and anyone may send these here.
    const limited = isBeforeSignature ? from.network : `signed ${from.network}`;
    const isLimited = options.throttle.waitMs(limited) > 0;
    options.throttle.refused(limited);
    log[isLimited ? 'debug' : 'warn']('delivery refused', { ...receiverFields(receiver), reason, ...detail });
    if (reason === 'keys_unavailable') options.missed.possible(guarded, 'keys');
    if (reason === 'overloaded' && sources.mayBeAuthentic(receiver.path, from.network, from.share))
      options.missed.possible(guarded, 'unread');
    return { result: reason, answer: receiver.refused(refusal) };
  }

  return async (guarded, request, response) => {
    if (request.method !== 'POST') return send(response, methodNotAllowed);
    const timer = setTimeout(() => send(response, later), answerWithinMs).unref();
    try {
      const outcome = await take(guarded, request);
      // A sender that hung up before its body was here gets no answer, and no line in the log.
      if (outcome === undefined) return;
      metrics.receivedEvents.inc({ source: guarded.receiver.kind, result: outcome.result });
      send(response, outcome.answer);
    } finally {
      clearTimeout(timer);
    }
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
    withinMs: bodyWithinMs,
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
      return `the body within ${bodyWithinMs} ms`;
    case 'overloaded':
      return 'room for the body';
  }
}

/** What a head is refused for, before any of its body is read. */
function checkHead(
  { receiver, authorization }: GuardedReceiver,
  { headers }: IncomingMessage,
): Refused | undefined {
  const { current: agreed } = authorization;
  const given = authorizationDigest(headers.authorization ?? '');
  if (agreed.length > 0 && !agreed.some((one) => timingSafeEqual(one, given)))
    return refuseDelivery('unauthenticated');
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type === receiver.mediaType) return undefined;
  return refuseDelivery('malformed', { claim: 'content-type', expected: receiver.mediaType });
}

/** Of equal length for all values, so that they can be compared in constant time. */
export const authorizationDigest = (text: string): Buffer => createHash('sha256').update(text).digest();

const methodNotAllowed: Answer = { status: 405, headers: { allow: 'POST', 'cache-control': 'no-store' } };
const later = emptyAnswer(503);
const retryAfterSeconds = 5;

/** Does nothing for a request that was answered. */
function send(response: ServerResponse, { status, headers, body }: Answer): void {
  if (response.headersSent) return;
  const { complete } = response.req;
  response
    .writeHead(status, {
      'x-content-type-options': 'nosniff',
      ...(status === 503 ? { 'retry-after': `${retryAfterSeconds}` } : {}),
      ...headers,
      // What is left of a body that was not read is not worth reading.
      ...(complete ? {} : { connection: 'close' }),
    })
    .end(body);
}
