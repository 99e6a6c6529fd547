const timeoutPattern = /^(?<count>\d{1,8})(?<unit>[HMSmun])$/;
const unitsMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};
// The longest that a timer can wait.
const maxTimeoutMs = 2 ** 31 - 1;

/**
 * The value of `grpc-timeout`; ms.
 * @returns undefined for a malformed one
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
export function parseTimeout(text: string): number | undefined {
  const groups = timeoutPattern.exec(text)?.groups;
  if (groups === undefined) return undefined;
  return Math.min(Number(groups['count']) * (unitsMs[groups['unit'] ?? ''] ?? 0), maxTimeoutMs);
}
