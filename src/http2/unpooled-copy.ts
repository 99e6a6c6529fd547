/**
 * Copies bytes into memory of their own. A copy from Node's pool would keep the pool's whole 64 KiB slab
 * alive for as long as the copy is kept.
 */
export function unpooledCopy(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
