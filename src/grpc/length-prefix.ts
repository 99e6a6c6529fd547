/** Before each message: a flag for compression, and the length. */
export const lengthPrefixBytes = 5;

/**
 * A message as gRPC sends it, not compressed.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Length-Prefixed-Message
 */
export function lengthPrefixed(message: Buffer): Buffer {
  // Not from Node's pool: a response that is cached for a token would keep 8 KiB of other buffers in memory.
  const bytes = Buffer.allocUnsafeSlow(lengthPrefixBytes + message.length);
  bytes.writeUInt8(0, 0);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, lengthPrefixBytes);
  return bytes;
}
