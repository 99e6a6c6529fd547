import type { BidirectionalMethod } from './bidirectional-method.ts';

/** What `decode` returns for bytes that are not the method's request. */
export const malformedRequest: unique symbol = Symbol('malformed request');

/**
 * Where the answer of a unary call goes. The first call of either function ends the call; later calls do
 * nothing.
 */
export type UnaryReply = {
  /**
   * Answers with OK. @param response with its length prefix; several calls may be answered with the same
   * buffer
   */
  send(response: Buffer): void;
  /** Answers with an error status. */
  reject(code: number, message: string): void;
};

/** One request, one response. */
export type UnaryMethod<Request = unknown> = {
  readonly kind: 'unary';
  /** `/package.Service/Method`. */
  readonly path: string;
  /** Never throws. The bytes are overwritten once it has returned. */
  decode(bytes: Buffer): Request | typeof malformedRequest;
  /** Answers now or later, also when the client has given up. */
  answer(request: Request, reply: UnaryReply): void;
};

/** The responses of a server-streaming call. Does nothing once the call is over. */
export type ResponseStream = {
  /** @param response with its length prefix */
  write(response: Buffer): void;
  /** Ends the call with an error status. */
  reject(code: number, message: string): void;
};

/** One request, any number of responses. */
export type ServerStreamingMethod<Request = unknown> = {
  readonly kind: 'server-streaming';
  readonly path: string;
  /** Never throws. The bytes are overwritten once it has returned. */
  decode(bytes: Buffer): Request | typeof malformedRequest;
  open(request: Request, responses: ResponseStream): void;
  /** The call is over, no matter who ended it. Called at least once for each call that was opened. */
  closed(responses: ResponseStream): void;
};

/** A method of the server. The server knows bytes alone; the method decodes and encodes its messages. */
export type Method = UnaryMethod | ServerStreamingMethod | BidirectionalMethod;
