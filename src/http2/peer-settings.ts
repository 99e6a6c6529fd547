import type { Frame } from './frame-reader.ts';
import { protocolError, type ConnectionError } from './frame-validation.ts';
import { errorCodes, frameLimit, largestFrameLimit, largestWindow, settingIds } from './frames.ts';

/** What a client's SETTINGS frame changes. undefined: no change. */
export type PeerSettings = {
  headerTableSize: number | undefined;
  initialWindow: number | undefined;
  maxFrame: number | undefined;
};

/** Reads a SETTINGS frame. @returns a connection error for a value outside its range, RFC 9113 §6.5.2 */
export function readSettings({ bytes, start, end }: Frame): PeerSettings | ConnectionError {
  const settings: PeerSettings = {
    headerTableSize: undefined,
    initialWindow: undefined,
    maxFrame: undefined,
  };
  for (let at = start; at < end; at += 6) {
    const value = bytes.readUInt32BE(at + 2);
    switch (bytes.readUInt16BE(at)) {
      case settingIds.headerTableSize:
        // RFC 7541 §4.2: of several values in one frame the lowest counts, because it evicted entries.
        settings.headerTableSize = Math.min(value, settings.headerTableSize ?? value);
        break;
      case settingIds.enablePush:
        if (value > 1) return protocolError('ENABLE_PUSH is neither 0 nor 1');
        break;
      case settingIds.initialWindowSize:
        if (value > largestWindow)
          return { code: errorCodes.flowControlError, message: 'INITIAL_WINDOW_SIZE above 2^31 - 1' };
        settings.initialWindow = value;
        break;
      case settingIds.maxFrameSize:
        if (value < frameLimit || value > largestFrameLimit)
          return protocolError('MAX_FRAME_SIZE outside its range');
        settings.maxFrame = value;
        break;
      default:
      // RFC 9113 §6.5.2: unknown settings are ignored.
    }
  }
  return settings;
}
