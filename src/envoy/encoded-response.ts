import type { CheckRequest } from '../check/check-request.ts';
import type { Allow, Decision } from '../check/decision.ts';
import { lengthPrefixed } from '../grpc/length-prefix.ts';
import type { Responder } from './check-response.ts';
import { encodeCheckResponse } from './response-encoder.ts';

/** Encodes the response to a decision as gRPC sends it: no compression, the length, the message. */
export type EncodedResponder = (decision: Decision, request: CheckRequest | undefined) => Buffer;

/**
 * Encodes what a responder builds. An allow is encoded once and keeps its bytes: the check returns the same
 * decision for a token again, unless a request has more headers to remove.
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
