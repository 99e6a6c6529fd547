import type { RevocationEvent } from '../revocation-log/event.ts';

/** The beginning of an id: enough to recognise it, too little to use it. */
export const shortened = (id: string): string => (id.length > 16 ? `${id.slice(0, 8)}…` : id);

/** A revocation event as a line for people. */
export function eventLine(event: RevocationEvent, seq: number | undefined): string {
  const { kind, id, iss, at, reason } = event;
  const what = kind === 'issuer' ? 'everything' : `${kind} ${printable(shortened(id))}`;
  const parts = [
    seq === undefined ? '-' : String(seq),
    what,
    `of ${printable(iss)}`,
    `at ${new Date(at * 1000).toISOString()}`,
    ...(reason === undefined ? [] : [`(${reason})`]),
  ];
  return parts.join('  ');
}

/**
 * Replaces control characters, which a terminal would interpret. The texts in a log come from everybody who
 * may write to it.
 */
export const printable = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}]/gu, '\u{fffd}');
