import * as v from 'valibot';
import { parseAddress } from './address.ts';
import { secretFromFile, secretFromText } from './secret.ts';

const durationUnitsMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const durationPattern = /^(?<count>\d{1,9})(?<unit>ms|s|m|h|d)$/;

/**
 * Parses a duration such as `500ms`, `10s`, `5m`, `2h` or `14d` into milliseconds; undefined for anything
 * else.
 */
export function parseDurationMs(text: string): number | undefined {
  const groups = durationPattern.exec(text)?.groups;
  if (groups === undefined) return undefined;
  return Number(groups['count']) * durationUnitsMs[groups['unit'] as keyof typeof durationUnitsMs];
}

export const formatDuration = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`);

/**
 * A duration with its unit; the output is in milliseconds.
 * @param bounds the smallest and the largest duration that is accepted
 */
export function durationMs(bounds: { min?: string; max?: string } = {}) {
  const min = parseDurationMs(bounds.min ?? '0s') ?? 0;
  const max = parseDurationMs(bounds.max ?? '3650d') ?? 0;
  return v.pipe(
    v.string('must be a duration in quotes or plain, such as 500ms, 10s, 5m, 14d'),
    v.check(
      (text) => parseDurationMs(text) !== undefined,
      'must be a number with a unit: 500ms, 10s, 5m, 2h, 14d',
    ),
    v.check((text) => (parseDurationMs(text) ?? min) >= min, `must be at least ${bounds.min ?? '0s'}`),
    v.check((text) => (parseDurationMs(text) ?? max) <= max, `must be at most ${bounds.max ?? '3650d'}`),
    v.transform((text) => parseDurationMs(text) ?? 0),
  );
}

const sizePattern = /^(?<count>\d{1,9})(?<unit>k|M)?$/;

/**
 * Parses a size such as `8192`, `256k` or `1M` (binary multiples) into bytes; undefined for anything else.
 */
export function parseBytes(text: string): number | undefined {
  const groups = sizePattern.exec(text)?.groups;
  if (groups === undefined) return undefined;
  return Number(groups['count']) * (groups['unit'] === 'M' ? 1024 * 1024 : groups['unit'] === 'k' ? 1024 : 1);
}

/** A size such as `8192`, `256k` or `1M`; the output is in bytes. */
export function sizeBytes(bounds: { min: number; max: number }) {
  const inRange = (bytes: number): boolean =>
    Number.isInteger(bytes) && bytes >= bounds.min && bytes <= bounds.max;
  const message = `must be a size from ${bounds.min} to ${bounds.max} bytes, such as 8192 or 256k`;
  return v.union(
    [
      v.pipe(
        v.string(),
        v.check((text) => inRange(parseBytes(text) ?? -1), message),
        v.transform((text) => parseBytes(text) ?? 0),
      ),
      v.pipe(v.number(), v.check(inRange, message)),
    ],
    message,
  );
}

/** `host:port`, `:port` or `unix:///path`. */
export const address = v.pipe(
  v.string(),
  v.check(
    (text) => parseAddress(text) !== undefined,
    'must be host:port, :port or unix:///absolute/path (at most 107 bytes)',
  ),
  v.transform((text) => parseAddress(text) ?? { kind: 'tcp' as const, host: undefined, port: 0 }),
);

export const tcpAddress = v.pipe(
  v.string(),
  v.check((text) => parseAddress(text)?.kind === 'tcp', 'must be host:port or :port'),
  v.transform((text) => {
    const parsed = parseAddress(text);
    return parsed?.kind === 'tcp' ? parsed : { kind: 'tcp' as const, host: undefined, port: 0 };
  }),
);

export const nonEmpty = (maxLength = 1024) =>
  v.pipe(
    v.string('must be a text'),
    v.minLength(1, 'must not be empty'),
    v.maxLength(maxLength, `must be at most ${maxLength} characters`),
  );

/** A secret, inline or as `{ file: PATH }`. It is never printed. */
export const secret = v.union(
  [
    v.pipe(v.string(), v.minLength(1), v.transform(secretFromText)),
    v.pipe(
      v.strictObject({ file: nonEmpty() }),
      v.transform(({ file }) => secretFromFile(file)),
    ),
  ],
  'must be a text or { file: PATH }',
);

/** A URL of one of the given schemes, without credentials in it unless allowed. */
export const url = (schemes: readonly string[]) =>
  v.pipe(
    nonEmpty(2048),
    v.check(
      (text) => URL.canParse(text) && schemes.includes(new URL(text).protocol.slice(0, -1)),
      `must be a URL (${schemes.join(', ')})`,
    ),
  );
