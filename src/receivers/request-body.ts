import type { IncomingMessage } from 'node:http';
import type { FairShare } from '../runtime/fair-share.ts';
import { unitsOf } from './delivery-limits.ts';

export type BodyOptions = {
  readonly maxBytes: number;
  /** From the request's head to the end of its body; ms. */
  readonly withinMs: number;
  /** What bodies that are being read may use. */
  readonly bodies: FairShare;
  /** Whose share it is. */
  readonly owner: string;
  readonly isReserved: boolean;
  /** Called when the body loses its place, with the part of the whole that its owner used. */
  dropped(share: number): void;
};

export type ReadBody =
  | { readonly kind: 'whole'; readonly body: Buffer }
  /** The rest is left unread: close the connection. */
  | { readonly kind: 'too_large' | 'too_slow' | 'overloaded' }
  /** There is nobody to answer. */
  | { readonly kind: 'broken_off' };

/** Reads a body to its end. Cost: the body's bytes in memory, counted in `bodies`. */
export function readBody(request: IncomingMessage, options: BodyOptions): Promise<ReadBody> {
  const { maxBytes, withinMs, bodies, owner, isReserved } = options;
  const { promise, resolve } = Promise.withResolvers<ReadBody>();
  if (Number(request.headers['content-length'] ?? 0) > maxBytes)
    return Promise.resolve({ kind: 'too_large' });
  // A chunk holds on to everything that was read with it, and costs far more than its bytes if it is short.
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
  // After a pause of this process the rest may be here, unread: sockets are read before the next immediate.
  const timer = setTimeout(() => setImmediate(() => finish({ kind: 'too_slow' })), withinMs);
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
  // An aborted request emits an error before it closes; the listener stays, since an error may come later too.
  request.on('error', breakOff).on('data', take).on('end', end).on('close', breakOff);
  return promise.finally(() => place.leave());
}

function enlarged(buffer: Buffer, size: number): Buffer {
  const larger = Buffer.alloc(size);
  buffer.copy(larger);
  return larger;
}
