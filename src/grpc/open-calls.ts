import { grpcStatus } from './grpc-status.ts';
import type { BidirectionalMethod } from './bidirectional-method.ts';

/** An open call as the engine sees it. */
export type OpenCall = {
  readonly connection: unknown;
  /** Ends the call with an error status. */
  abort(failure: { readonly code: number; readonly message: string }): void;
};

const stopping = { code: grpcStatus.unavailable, message: 'the server is stopping' };

/** The open bidirectional calls of an engine, bounded for each method. */
export class OpenCalls {
  readonly #calls = new Map<OpenCall, BidirectionalMethod>();
  readonly #counts = new Map<BidirectionalMethod, number>();

  /** @returns false, and does not add the call, when the method has `maxOpenCalls` already */
  add(call: OpenCall, method: BidirectionalMethod): boolean {
    const count = this.#counts.get(method) ?? 0;
    if (count >= method.maxOpenCalls) return false;
    this.#counts.set(method, count + 1);
    this.#calls.set(call, method);
    return true;
  }

  /** Does nothing for a call that is not open. */
  delete(call: OpenCall): void {
    const method = this.#calls.get(call);
    if (method === undefined) return;
    this.#calls.delete(call);
    this.#counts.set(method, (this.#counts.get(method) ?? 0) - 1);
  }

  /** True when a call is open on the connection. Cost: a look at every open call. */
  areOn(connection: unknown): boolean {
    for (const call of this.#calls.keys()) if (call.connection === connection) return true;
    return false;
  }

  /**
   * Ends every call with UNAVAILABLE, which tells clients to call another server.
   * @returns false when none was open
   */
  endAll(): boolean {
    const hasCalls = this.#calls.size > 0;
    for (const call of this.#calls.keys()) call.abort(stopping);
    return hasCalls;
  }
}
