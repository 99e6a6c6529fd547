import type { Frame } from './frame-reader.ts';
import { protocolError, type ConnectionError } from './frame-validation.ts';
import { errorCodes, frameLimit, largestFrameLimit, largestWindow, settingIds } from './frames.ts';

/** What a SETTINGS frame changes; undefined: as before. */
export type PeerSettings = {
  headerTableSize: number | undefined;
  initialWindow: number | undefined;
  maxFrame: number | undefined;
};

/** @returns the connection error for settings that may not be, RFC 9113 §6.5.2 */
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
        // RFC 7541 §4.2: the lowest of several counts, for what it drove out.
        settings.headerTableSize = Math.min(value, settings.headerTableSize ?? value);
        break;
      case settingIds.enablePush:
        if (value > 1) return protocolError('a push setting that is no boolean');
        break;
      case settingIds.initialWindowSize:
        if (value > largestWindow)
          return { code: errorCodes.flowControlError, message: 'a window larger than can be' };
        settings.initialWindow = value;
        break;
      case settingIds.maxFrameSize:
        if (value < frameLimit || value > largestFrameLimit)
          return protocolError('a frame size that may not be');
        settings.maxFrame = value;
        break;
      default:
      // Unknown ones are ignored.
    }
  }
  return settings;
}
