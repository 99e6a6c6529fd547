import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../runtime/clock.ts';
import { Fault } from '../../runtime/fault.ts';
import type { Log } from '../../runtime/log.ts';
import type { OwnerMetrics } from '../../runtime/metrics.ts';
import { sessionHash } from '../../runtime/session-hash.ts';
import {
  emptyAnswer,
  refusals,
  refuse,
  type Accepted,
  type Answer,
  type Judged,
  type Receiver,
  type Refusal,
} from './receiver.ts';
import type { Recorder } from './recorder.ts';
import type { RefusalThrottle } from './refusal-throttle.ts';
import { readBody } from './request-body.ts';
import type { WatchedSecrets } from './watched-secrets.ts';

export type DeliveryHandlerOptions = {
  readonly recorder: Recorder;
  readonly throttle: RefusalThrottle;
  /** The address a request came from, for the throttle. */
  clientAddress(request: IncomingMessage): string;
  /** An authentic delivery could not be recorded. */
  missed(issuers: readonly string[]): void;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<OwnerMetrics, 'receivedEvents'>;
};

export type GuardedReceiver = {
  readonly receiver: Receiver;
  /** What `Authorization` must be; empty: the signature is enough. */
  readonly authorization: WatchedSecrets<Buffer>;
};

export type HandleDelivery = (
  guarded: GuardedReceiver,
  request: IncomingMessage,
  response: ServerResponse,
) => Promise<void>;

/** Deliveries in work at a time. A sender that is told to wait comes again. */
const maxInWork = 512;

/** Takes a delivery from its socket to its answer. A 2xx is sent only when everything is committed. */
export function createDeliveryHandler(options: DeliveryHandlerOptions): HandleDelivery {
  const { throttle, clock, metrics } = options;
  let inWork = 0;

  async function take(guarded: GuardedReceiver, request: IncomingMessage, address: string): Promise<Outcome> {
    const { receiver } = guarded;
    const judged = await judge(guarded, request, clock.nowMs());
    if (judged.kind === 'accepted') return await carryOut(receiver, judged, options);
    if (judged.kind === 'ignored') {
      options.log.debug('delivery changes nothing', { ...named(receiver), event: judged.event });
      return { result: 'ignored', answer: receiver.accepted };
    }
    if (refusals[judged.reason].isAnyones) throttle.refused(address);
    options.log.warn('delivery refused', { ...named(receiver), reason: judged.reason, ...judged.detail });
    return { result: judged.reason, answer: receiver.refused(judged) };
  }

  return async (guarded, request, response) => {
    const { kind: source } = guarded.receiver;
    if (request.method !== 'POST') return send(response, methodNotAllowed);
    const address = options.clientAddress(request);
    const waitMs = throttle.waitMs(address);
    if (waitMs > 0 || inWork >= maxInWork) {
      metrics.receivedEvents.inc({ source, result: 'overloaded' });
      return send(response, waitMs > 0 ? later(429, waitMs) : later(503, 1000));
    }
    inWork += 1;
    try {
      const { result, answer } = await take(guarded, request, address);
      metrics.receivedEvents.inc({ source, result });
      send(response, answer);
    } catch (thrown) {
      // A sender that hung up before its body was here gets no answer, and no line in the log.
      if (!request.readableAborted) throw thrown;
    } finally {
      inWork -= 1;
    }
  };
}

/** Everything that can become of a delivery, for the metric; refusals beside these. */
type Result = 'accepted' | 'duplicate' | 'ignored' | 'overloaded' | 'failed' | Refusal;

type Outcome = { readonly result: Result; readonly answer: Answer };

async function judge(
  { receiver, authorization }: GuardedReceiver,
  request: IncomingMessage,
  nowMs: number,
): Promise<Judged> {
  const { current: agreed } = authorization;
  const given = authorizationDigest(request.headers.authorization ?? '');
  if (agreed.length > 0 && !agreed.some((one) => timingSafeEqual(one, given)))
    return refuse('unauthenticated');
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== receiver.mediaType)
    return refuse('malformed', { claim: 'content-type', expected: receiver.mediaType });
  const body = await readBody(request, receiver.maxBodyBytes);
  if (body === undefined) return refuse('too_large', { expected: `at most ${receiver.maxBodyBytes} bytes` });
  const header = (name: string): string | undefined => {
    const value = request.headers[name];
    return typeof value === 'string' ? value : undefined;
  };
  return await receiver.judge({ body, header }, nowMs);
}

async function carryOut(
  receiver: Receiver,
  accepted: Accepted,
  { recorder, missed, log }: DeliveryHandlerOptions,
): Promise<Outcome> {
  try {
    const result = await recorder.record(receiver, accepted);
    log.info('delivery carried out', { ...named(receiver), ...about(accepted), result });
    return { result, answer: receiver.accepted };
  } catch (thrown) {
    if (thrown instanceof Fault && thrown.code === 'ERR_REVOCATION_INVALID') {
      // What is left once ids and issuers are checked.
      const answer = receiver.refused(refuse('too_many_keys'));
      log.error('delivery cannot be carried out', { ...named(receiver), ...about(accepted), err: thrown });
      return { result: 'too_many_keys', answer };
    }
    log.error('delivery not recorded', { ...named(receiver), ...about(accepted), err: thrown });
    missed(receiver.issuers);
    return { result: 'failed', answer: later(503, 5000) };
  }
}

const named = ({ kind, path }: Receiver) => ({ part: kind, route: path });

/** What was revoked, for the log: a session by a short hash, others by their number. */
function about({ requests }: Accepted) {
  const [first] = requests;
  if (first === undefined) return {};
  const { iss: issuer, kind, id, reason } = first;
  const isOnly = requests.length === 1;
  return {
    issuer,
    count: requests.length,
    ...(isOnly ? { kind } : {}),
    ...(isOnly && kind === 'session' && id !== undefined ? { sessionHash: sessionHash(id) } : {}),
    ...(reason === undefined ? {} : { reason }),
  };
}

/** Of equal length for all values, so that they can be compared in constant time. */
export const authorizationDigest = (text: string): Buffer => createHash('sha256').update(text).digest();

const methodNotAllowed: Answer = { status: 405, headers: { allow: 'POST', 'cache-control': 'no-store' } };

function later(status: number, waitMs: number): Answer {
  const { headers } = emptyAnswer(status);
  return { status, headers: { ...headers, 'retry-after': `${Math.max(1, Math.ceil(waitMs / 1000))}` } };
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  // What is left of a long body is not worth reading.
  const closing = status === 413 ? { connection: 'close' } : {};
  response.writeHead(status, { 'x-content-type-options': 'nosniff', ...headers, ...closing }).end(body);
}
