/** RFC 9113 §6. */
export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const frameFlags = { ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const;

/** RFC 9113 §6.5.2. */
export const settingIds = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

/** RFC 9113 §7. */
export const errorCodes = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  streamClosed: 5,
  frameSizeError: 6,
  refusedStream: 7,
  cancel: 8,
  compressionError: 9,
  enhanceYourCalm: 11,
} as const;

export const frameHeadBytes = 9;
/** RFC 9113 §3.4: what a client sends first. */
export const preface: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/**
 * RFC 9113 §6.9.2: the flow-control window of streams and connections unless SETTINGS or WINDOW_UPDATE change
 * it; bytes.
 */
export const initialWindow = 65_535;
export const largestWindow = 2 ** 31 - 1;
/** RFC 9113 §4.2: the default of SETTINGS_MAX_FRAME_SIZE, which we leave as it is; bytes. */
export const frameLimit = 16_384;
export const largestFrameLimit = 2 ** 24 - 1;
export const largestStreamId = 2 ** 31 - 1;

/** Writes the 9 bytes of a frame's head at `at`. */
export function writeFrameHead(
  bytes: Buffer,
  at: number,
  frame: { length: number; type: number; flags: number; stream: number },
): void {
  const { length, type, flags, stream } = frame;
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  bytes[at + 5] = stream >>> 24;
  bytes[at + 6] = stream >>> 16;
  bytes[at + 7] = stream >>> 8;
  bytes[at + 8] = stream;
}
