import type { CheckRequest } from '../check/check-request.ts';
import type { Allow, Decision } from '../check/decision.ts';
import { lengthPrefixed } from '../grpc/length-prefix.ts';
import type { Responder } from './check-response.ts';
import { encodeCheckResponse } from './response-encoder.ts';

/** A `CheckResponse` as gRPC sends it: no compression, the length, the message. */
export type EncodedResponder = (decision: Decision, request: CheckRequest | undefined) => Buffer;


/**
 * Encodes what a responder builds. An allow is encoded once and keeps its bytes: the check gives a token the same
 * decision again, as long as a request has no more headers to take away.
 */
export function createEncodedResponder(respond: Responder): EncodedResponder {
  function encodeOnce(decision: Allow): Buffer {
    if (decision.encoded?.by === respond) return decision.encoded.bytes;
    // Without the request: the response to an allow depends on the decision alone.
    const bytes = encode(respond(decision, undefined));
    decision.encoded = { by: respond, bytes };
    return bytes;
  }

  return (decision, request) =>
    decision.kind === 'allow' ? encodeOnce(decision) : encode(respond(decision, request));
}

const encode = (response: ReturnType<Responder>): Buffer => lengthPrefixed(encodeCheckResponse(response));
