import type { Frame } from './frame-reader.ts';
import { errorCodes, frameFlags, frameTypes } from './frames.ts';

/** Why a connection ends: RFC 9113 §7, and in our words. */
export type ConnectionError = { readonly code: number; readonly message: string };

type Form = {
  /** Whether it belongs to a stream or to the connection; undefined: to either. */
  readonly of: 'stream' | 'connection' | undefined;
  /** Octets of its payload; undefined: any number. */
  readonly size: number | undefined;
};

/** RFC 9113 §6, by type. */
const forms: readonly (Form | undefined)[] = [
  { of: 'stream', size: undefined },
  { of: 'stream', size: undefined },
  { of: 'stream', size: 5 },
  { of: 'stream', size: 4 },
  { of: 'connection', size: undefined },
  undefined,
  { of: 'connection', size: 8 },
  { of: 'connection', size: undefined },
  { of: undefined, size: 4 },
  { of: 'stream', size: undefined },
];

/** Checks what can be said of a frame by itself. @returns undefined for one that is as it should be, or of an unknown type */
export function formError({ type, flags, stream, start, end }: Frame): ConnectionError | undefined {
  if (type === frameTypes.pushPromise) return protocolError('a push by a client');
  const form = forms[type];
  if (form === undefined) return undefined;
  if (form.of === 'stream' && stream === 0) return protocolError(`a frame of type ${type} without a stream`);
  if (form.of === 'connection' && stream !== 0) return protocolError(`a frame of type ${type} on a stream`);
  const size = end - start;
  const isWrong =
    (form.size !== undefined && size !== form.size) ||
    (type === frameTypes.goAway && size < 8) ||
    (type === frameTypes.settings && (size % 6 !== 0 || ((flags & frameFlags.ack) !== 0 && size > 0)));
  return isWrong
    ? { code: errorCodes.frameSizeError, message: `a frame of type ${type} of a wrong size` }
    : undefined;
}

export const protocolError = (message: string): ConnectionError => ({
  code: errorCodes.protocolError,
  message,
});
