import { gunzipSync, inflateSync } from 'node:zlib';
import { failures, type Failure } from './failure.ts';

/**
 * A message that decompresses to more than 16 times its size is suspicious: charge it as an error of the
 * client.
 */
const maxCompressionRatio = 16;

export type Decompression =
  | { readonly kind: 'decompressed'; readonly bytes: Buffer; readonly isSuspicious: boolean }
  | { readonly kind: 'failed'; readonly failure: Failure };

/**
 * Decompresses synchronously: jobs in the thread pool would outlive their calls, and nothing would bound
 * them.
 */
export function decompressMessage(
  message: Buffer,
  encoding: 'identity' | 'gzip' | 'deflate',
  maxMessageBytes: number,
): Decompression {
  const decompress = encoding === 'gzip' ? gunzipSync : inflateSync;
  try {
    const bytes = decompress(message, { maxOutputLength: maxMessageBytes });
    return { kind: 'decompressed', bytes, isSuspicious: bytes.length > maxCompressionRatio * message.length };
  } catch (thrown) {
    const isTooLarge = thrown instanceof Error && 'code' in thrown && thrown.code === 'ERR_BUFFER_TOO_LARGE';
    return { kind: 'failed', failure: isTooLarge ? failures.messageTooLarge : failures.undecompressable };
  }
}
