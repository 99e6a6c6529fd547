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

// Envoy gives the same time for nearly every request.
let lastTimeout: { readonly text: string; readonly ms: number } | undefined;

/**
 * The time that a caller gives in `grpc-timeout`; ms.
 * @returns undefined for a text that says none
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
export function parseTimeout(text: string): number | undefined {
  if (text === lastTimeout?.text) return lastTimeout.ms;
  const groups = timeoutPattern.exec(text)?.groups;
  if (groups === undefined) return undefined;
  const ms = Math.min(Number(groups['count']) * (unitsMs[groups['unit'] ?? ''] ?? 0), maxTimeoutMs);
  lastTimeout = { text, ms };
  return ms;
}
