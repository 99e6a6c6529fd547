import type { RevocationEvent } from '../revocation-log/event.ts';

/** Enough to recognise an id by, for a screen others may see. */
export const shortened = (id: string): string => (id.length > 16 ? `${id.slice(0, 8)}…` : id);

/** A revocation for a person to read. */
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

// Whoever writes to the log chooses these texts; a terminal acts on control characters.
export const printable = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}]/gu, '\u{fffd}');
