import type { EpochSeconds } from '../runtime/clock.ts';
import { revocationKinds, type RevocationKind } from '../vocabulary/revocation-kinds.ts';

export { revocationKinds, type RevocationKind };

/** Version of the format of events, messages and the log's head. */
export const formatVersion = 1;

/** One revocation, as writers commit it and as the log holds it. */
export type RevocationEvent = {
  readonly iss: string;
  readonly kind: RevocationKind;
  /** What is revoked. For `issuer`, this is the issuer itself. */
  readonly id: string;
  /** Cut-off in seconds, by the issuer's clock. Fractions are allowed. */
  readonly at: EpochSeconds;
  /** The reason, for logs: at most 64 characters of `a-z 0-9 _ -`. */
  readonly reason?: string;
};

/** Longest id of a revocation, in UTF-16 code units; the limit for claims of tokens is the same. */
export const maxRevocableIdLength = 256;
const maxIssuerLength = 2048;
/** Longest event, in UTF-16 code units of its text. A longer event counts as malformed. */
export const maxEventLength = 16_384;
/** The year 5138. A larger number is a time in milliseconds, or not a time at all. */
const maxAt = 1e11;

const reasonPattern = /^[a-z0-9_-]{1,64}$/;

export const isRevocableId = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= maxRevocableIdLength;

export const isIssuer = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= maxIssuerLength;

export const isReason = (value: unknown): value is string =>
  typeof value === 'string' && reasonPattern.test(value);

export const isAt = (value: unknown): value is number =>
  typeof value === 'number' && value >= 0 && value <= maxAt;

const isKind = (value: unknown): value is RevocationKind =>
  typeof value === 'string' && (revocationKinds as readonly string[]).includes(value);

/** An event as a reader understands it. In doubt, a reader refuses too many tokens and never too few. */
export type ReadEvent =
  /**
   * `asKnown` is false if this version can't apply the kind or the id. The event then cuts off the whole
   * issuer.
   */
  | { readonly kind: 'event'; readonly event: RevocationEvent; readonly asKnown: boolean }
  /**
   * The event has another version or is damaged, so the reader can't know what it revokes. Every version
   * names the issuer in `iss` if the event is about one issuer. Without a readable `iss`, it may concern any
   * issuer.
   */
  | { readonly kind: 'unknown_version' | 'malformed'; readonly iss: string | undefined };

/** Reads a decoded event. */
export function readEvent(value: unknown): ReadEvent {
  if (!isObject(value)) return { kind: 'malformed', iss: undefined };
  const { v, iss, kind, id, at, reason } = value;
  const malformed: ReadEvent = { kind: 'malformed', iss: isIssuer(iss) ? iss : undefined };
  if (v !== formatVersion) return v === undefined ? malformed : { ...malformed, kind: 'unknown_version' };
  if (!isIssuer(iss) || !isAt(at)) return malformed;
  const why = isReason(reason) ? { reason } : {};
  if (isKind(kind) && (kind === 'issuer' || isRevocableId(id)))
    return {
      kind: 'event',
      event: { iss, kind, id: kind === 'issuer' ? iss : String(id), at, ...why },
      asKnown: true,
    };
  if (typeof kind !== 'string') return malformed;
  return { kind: 'event', event: { iss, kind: 'issuer', id: iss, at, ...why }, asKnown: false };
}

/** The event as text, for the log and for a message. `seq` makes the text unique within its epoch. */
export function writeEvent(event: RevocationEvent, seq: number): string {
  const { iss, kind, id, at, reason } = event;
  return JSON.stringify({ v: formatVersion, seq, iss, kind, id, at, reason });
}

/**
 * True for a JSON object. A number that keeps its digits (`JSON.rawJSON`) is an object in JavaScript, but not
 * in JSON.
 */
export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value);

/** The value of a JSON text; undefined if the text isn't JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
