import type { ServerConnection } from '../http2/server-stream.ts';
import { failures } from './failure.ts';
import { MessageStream } from './message-stream.ts';
import {
  malformedRequest,
  type ResponseStream,
  type ServerStreamingMethod,
  type UnaryMethod,
  type UnaryReply,
} from './method.ts';
import type { GrpcRequestHead } from './request-head.ts';

/** A call of a unary method. */
export class UnaryStream extends MessageStream implements UnaryReply {
  readonly #method: UnaryMethod;

  constructor(
    connection: ServerConnection,
    id: number,
    head: GrpcRequestHead,
    maxMessageBytes: number,
    method: UnaryMethod,
  ) {
    super(connection, id, head, maxMessageBytes);
    this.#method = method;
  }

  protected override onMessage(bytes: Buffer): void {
    const request = this.#method.decode(bytes);
    if (request === malformedRequest) return this.refuse(failures.malformedRequest);
    this.keepUntilAnswered();
    this.#method.answer(request, this);
  }
}

/** A call of a server-streaming method. */
export class ServerStreamingStream extends MessageStream implements ResponseStream {
  readonly #method: ServerStreamingMethod;

  constructor(
    connection: ServerConnection,
    id: number,
    head: GrpcRequestHead,
    maxMessageBytes: number,
    method: ServerStreamingMethod,
  ) {
    super(connection, id, head, maxMessageBytes);
    this.#method = method;
  }

  protected override onMessage(bytes: Buffer): void {
    const request = this.#method.decode(bytes);
    if (request === malformedRequest) this.refuse(failures.malformedRequest);
    else this.#method.open(request, this);
  }

  protected override onOver(): void {
    this.#method.closed(this);
  }
}

/** A call that its head alone makes fail. */
export class FailedStream extends MessageStream {
  protected override onMessage(): void {
    this.refuse(failures.unknownMethod);
  }
}
