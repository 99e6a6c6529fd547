/** A copy that keeps nothing else in memory, as one of Node's pool would: small buffers are cut from slabs of 64 KiB there. */
export function ownCopy(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
