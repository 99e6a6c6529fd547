import type { EpochSeconds } from '../runtime/clock.ts';

/** What a revocation can name; see `docs/revocation.md`. */
export const revocationKinds = ['session', 'token', 'subject', 'client', 'issuer', 'key'] as const;
export type RevocationKind = (typeof revocationKinds)[number];

/** Version of the events, of the log's messages and of its head. */
export const formatVersion = 1;

/** One revocation, as writers commit it and the log carries it. */
export type RevocationEvent = {
  readonly iss: string;
  readonly kind: RevocationKind;
  /** What is revoked; for `issuer` the issuer itself. */
  readonly id: string;
  /** Cut-off, in the issuer's clock, fractions allowed. */
  readonly at: EpochSeconds;
  /** Why, for logs; at most 64 characters of `a-z 0-9 _ -`. */
  readonly reason?: string;
};

/** In UTF-16 code units, as tokens' claims are. */
export const maxRevocableIdLength = 256;
export const maxIssuerLength = 2048;
/** Longest event as text; a longer one counts as malformed. */
export const maxEventLength = 16_384;
/** Year 5138: beyond it a number is milliseconds or nonsense. */
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

/** An event as a reader understands it. Whoever reads refuses rather too much than too little. */
export type ReadEvent =
  /** `asKnown` is false for a kind, or an id, this version can't apply: the event is then the issuer's cut-off. */
  | { readonly kind: 'event'; readonly event: RevocationEvent; readonly asKnown: boolean }
  /**
   * Of another version, or damaged: what it revokes can't be known. Every version names its issuer in `iss`, if it is about
   * one issuer; without a readable one the event may concern any.
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

/** The event as a member of the log and of a message. `seq` makes it unique in its epoch. */
export function writeEvent(event: RevocationEvent, seq: number): string {
  const { iss, kind, id, at, reason } = event;
  return JSON.stringify({ v: formatVersion, seq, iss, kind, id, at, reason });
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** JavaScript counts a parsed number that keeps its digits (`JSON.rawJSON`) as an object; this does not. */
export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value);

/** The value of a JSON text, or undefined. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
