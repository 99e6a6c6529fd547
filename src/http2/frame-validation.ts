import type { Frame } from './frame-reader.ts';
import { errorCodes, frameFlags, frameTypes } from './frames.ts';

/** Why a connection ends: a code of RFC 9113 §7, and a text for the log. */
export type ConnectionError = { readonly code: number; readonly message: string };

type FrameRule = {
  /** Where the frame belongs. */
  readonly on: 'stream' | 'connection' | 'either';
  /** Required payload length; bytes. undefined when it varies. */
  readonly length: number | undefined;
};

/** RFC 9113 §6. The index is the frame type. */
const frameRules: readonly (FrameRule | undefined)[] = [
  { on: 'stream', length: undefined },
  { on: 'stream', length: undefined },
  { on: 'stream', length: 5 },
  { on: 'stream', length: 4 },
  { on: 'connection', length: undefined },
  undefined,
  { on: 'connection', length: 8 },
  { on: 'connection', length: undefined },
  { on: 'either', length: 4 },
  { on: 'stream', length: undefined },
];

/**
 * Checks a frame by itself, without the state of the connection.
 * @returns undefined when valid, or of an unknown type
 */
export function validateFrame({ type, flags, stream, start, end }: Frame): ConnectionError | undefined {
  if (type === frameTypes.pushPromise) return protocolError('PUSH_PROMISE from a client');
  const rule = frameRules[type];
  if (rule === undefined) return undefined;
  if (rule.on === 'stream' && stream === 0) return protocolError(`frame of type ${type} without a stream`);
  if (rule.on === 'connection' && stream !== 0) return protocolError(`frame of type ${type} on a stream`);
  const length = end - start;
  const isWrong =
    (rule.length !== undefined && length !== rule.length) ||
    (type === frameTypes.goAway && length < 8) ||
    (type === frameTypes.settings && (length % 6 !== 0 || ((flags & frameFlags.ack) !== 0 && length > 0)));
  return isWrong
    ? { code: errorCodes.frameSizeError, message: `frame of type ${type} with a wrong length` }
    : undefined;
}

export const protocolError = (message: string): ConnectionError => ({
  code: errorCodes.protocolError,
  message,
});
