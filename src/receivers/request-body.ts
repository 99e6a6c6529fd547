import type { IncomingMessage } from 'node:http';
import type { FairShare } from '../runtime/fair-share.ts';
import { unitsOf } from './delivery-limits.ts';

export type BodyOptions = {
  readonly maxBytes: number;
  /** Longest time from the head of the request to the end of its body; ms. */
  readonly timeoutMs: number;
  /** The memory of bodies that are being read. */
  readonly bodies: FairShare;
  /** The network to which the body's memory is attributed. */
  readonly owner: string;
  readonly isReserved: boolean;
  /** Called if the body is dropped, with the share of the limit that its owner used: 0 to 1. */
  dropped(share: number): void;
};

export type ReadBody =
  | { readonly kind: 'whole'; readonly body: Buffer }
  /** The rest of the body was not read: close the connection. */
  | { readonly kind: 'too_large' | 'too_slow' | 'overloaded' }
  /** The client has closed the connection. */
  | { readonly kind: 'broken_off' };

/** Reads a body to its end. Cost: the body in memory, which `bodies` limits. */
export function readBody(request: IncomingMessage, options: BodyOptions): Promise<ReadBody> {
  const { maxBytes, timeoutMs, bodies, owner, isReserved } = options;
  const { promise, resolve } = Promise.withResolvers<ReadBody>();
  if (Number(request.headers['content-length'] ?? 0) > maxBytes)
    return Promise.resolve({ kind: 'too_large' });
  // Chunks are copied: a short chunk keeps the whole buffer in memory that it was read into.
  let room: Buffer = Buffer.alloc(0);
  let length = 0;
  const take = (chunk: Buffer): void => {
    const before = length;
    length += chunk.length;
    if (length > maxBytes) return finish({ kind: 'too_large' });
    if (length > room.length) room = enlarged(room, Math.min(maxBytes, Math.max(length, 2 * room.length)));
    chunk.copy(room, before);
    place.resize(unitsOf(room.length));
  };
  const end = (): void => finish({ kind: 'whole', body: room.subarray(0, length) });
  const breakOff = (): void => finish({ kind: 'broken_off' });
  // After a pause of this process, the rest may wait unread in the socket. Sockets are read before the next
  // immediate.
  const timer = setTimeout(() => setImmediate(() => finish({ kind: 'too_slow' })), timeoutMs);
  const evicted = (share: number): void => {
    options.dropped(share);
    finish({ kind: 'overloaded' });
  };

  function finish(read: ReadBody): void {
    clearTimeout(timer);
    request.off('data', take).off('end', end).off('close', breakOff).pause();
    room = Buffer.alloc(0);
    resolve(read);
  }

  const place = bodies.enter({ owner, isReserved, units: 1, evicted });
  // An aborted request emits an error before it closes. The listener stays, because an error may also come
  // later.
  request.on('error', breakOff).on('data', take).on('end', end).on('close', breakOff);
  return promise.finally(() => place.leave());
}

function enlarged(buffer: Buffer, size: number): Buffer {
  const larger = Buffer.alloc(size);
  buffer.copy(larger);
  return larger;
}
