import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { OwnerMetrics } from '../runtime/metrics.ts';
import { networkOf } from '../runtime/network.ts';
import type { CarryOut, CarriedOut } from './accepted-delivery.ts';
import type { DeliveryLimits, Source } from './delivery-limits.ts';
import type { GoodSources } from './known-sources.ts';
import type { MissedNotices } from './missed-notices.ts';
import {
  emptyAnswer,
  named,
  refusals,
  refuse,
  type Answer,
  type Judged,
  type Receiver,
  type Refusal,
  type Refused,
} from './receiver.ts';
import type { RefusalThrottle } from './refusal-throttle.ts';
import { readBody } from './request-body.ts';
import type { WatchedSecrets } from './watched-secrets.ts';

export type DeliveryHandlerOptions = {
  readonly carryOut: CarryOut;
  readonly limits: DeliveryLimits;
  readonly sources: GoodSources;
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

type Outcome = CarriedOut | { readonly result: 'ignored' | Refusal; readonly answer: Answer };

/** Takes a delivery from its socket to its answer. A 2xx is sent only when everything is committed. */
export function createDeliveryHandler(options: DeliveryHandlerOptions): HandleDelivery {
  const { clock, metrics, log, sources } = options;

  /** @returns undefined when the client hung up before its body was here */
  async function take(guarded: GuardedReceiver, request: IncomingMessage): Promise<Outcome | undefined> {
    const { receiver } = guarded;
    const network = networkOf(options.clientAddress(request));
    const source = { network, isGood: sources.has(receiver.path, network) };
    let share = 0;
    const turnedAway = (used: number): void => {
      share = used;
    };
    const judged = await judge(guarded, request, { source, turnedAway, nowMs: clock.nowMs(), ...options });
    if (judged === undefined) return undefined;
    if (judged.kind === 'refused') return refused(guarded, judged, { network, share });
    if (judged.kind === 'accepted') {
      const carriedOut = await options.carryOut(guarded, judged);
      // A copy of an earlier one can be sent from anywhere.
      if (carriedOut.result === 'accepted') sources.add(receiver.path, network);
      return carriedOut;
    }
    log.debug('delivery changes nothing', { ...named(receiver), event: judged.event });
    return { result: 'ignored', answer: receiver.accepted };
  }

  function refused(guarded: GuardedReceiver, refusal: Refused, from: { network: string; share: number }) {
    const { receiver } = guarded;
    const { reason, detail } = refusal;
    const { isAnyones } = refusals[reason];
    // Those of the sender's own stay visible beside forged ones. They are limited too, since a provider signs tokens for
    // others as well, and anyone may send these here.
    const limited = isAnyones ? from.network : `signed ${from.network}`;
    const isLimited = options.throttle.waitMs(limited) > 0;
    options.throttle.refused(limited);
    log[isLimited ? 'debug' : 'warn']('delivery refused', { ...named(receiver), reason, ...detail });
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

type Judging = Pick<DeliveryHandlerOptions, 'limits'> & {
  readonly source: Source;
  turnedAway(share: number): void;
  readonly nowMs: number;
};

async function judge(
  guarded: GuardedReceiver,
  request: IncomingMessage,
  { limits, source, turnedAway, nowMs }: Judging,
): Promise<Judged | undefined> {
  const { receiver } = guarded;
  const { maxBodyBytes: maxBytes } = receiver;
  const unfit = judgeHead(guarded, request);
  if (unfit !== undefined) return unfit;
  const read = await readBody(request, {
    maxBytes,
    withinMs: bodyWithinMs,
    bodies: limits.bodies,
    owner: source.network,
    isReserved: source.isGood,
    turnedAway,
  });
  if (read.kind === 'broken_off') return undefined;
  if (read.kind !== 'whole') return refuse(read.kind, { expected: expectedOf(read.kind, maxBytes) });
  const { body } = read;
  const allowance = limits.allow(source, body.length, turnedAway);
  const header = (name: string): string | undefined => {
    const value = request.headers[name];
    return typeof value === 'string' ? value : undefined;
  };
  return await receiver.judge({ body, header, allowance }, nowMs);
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
function judgeHead(
  { receiver, authorization }: GuardedReceiver,
  { headers }: IncomingMessage,
): Refused | undefined {
  const { current: agreed } = authorization;
  const given = authorizationDigest(headers.authorization ?? '');
  if (agreed.length > 0 && !agreed.some((one) => timingSafeEqual(one, given)))
    return refuse('unauthenticated');
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type === receiver.mediaType) return undefined;
  return refuse('malformed', { claim: 'content-type', expected: receiver.mediaType });
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
