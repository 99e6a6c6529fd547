import type { CheckRequest } from '../check/check-request.ts';
import type { Allow, Decision, UpstreamIdentity } from '../check/decision.ts';
import { lengthPrefixed } from '../grpc/length-prefix.ts';
import { Note } from '../runtime/memo-slots.ts';
import type { AccessToken } from '../token/access-token.ts';
import type { Responder } from './check-response.ts';
import { encodeCheckResponse } from './response-encoder.ts';

/** A `CheckResponse` as gRPC sends it: no compression, the length, the message. */
export type EncodedResponder = (decision: Decision, request: CheckRequest | undefined) => Buffer;

type Encoded = {
  readonly upstream: UpstreamIdentity;
  readonly remove: readonly string[];
  readonly bytes: Buffer;
};

/**
 * Encodes what a responder builds. A token that is let through again with nothing else to take away gets the same bytes
 * again, which are forgotten with the token.
 */
export function createEncodedResponder(respond: Responder): EncodedResponder {
  const known = new Note<Encoded>();

  function repeated(token: AccessToken, decision: Allow): Buffer {
    const { upstream, remove } = decision;
    const before = known.get(token);
    if (before !== undefined && before.upstream === upstream && before.remove === remove) return before.bytes;
    const bytes = encode(respond(decision, undefined));
    known.set(token, { upstream, remove, bytes });
    return bytes;
  }

  return (decision, request) =>
    decision.kind === 'allow' && decision.token !== undefined
      ? repeated(decision.token, decision)
      : encode(respond(decision, request));
}

const encode = (response: ReturnType<Responder>): Buffer => lengthPrefixed(encodeCheckResponse(response));
