import { bearerPrefix } from '../token/credential.ts';
import type { TokenEntry } from '../token/token-table.ts';

/** Finds the entry of a verified token in part of a buffer; undefined for all other bytes. */
export type TokenFinder = (bytes: Buffer, start: number, end: number) => TokenEntry | undefined;

// The prefix as two numbers that overlap: comparing them allocates nothing.
const prefixBytes = Buffer.from(bearerPrefix, 'latin1');
const restOffset = prefixBytes.length - 4;
const prefixStart = prefixBytes.readInt32LE(0);
const prefixRest = prefixBytes.readInt32LE(restOffset);

/**
 * Finds the token of a header value that is `Bearer` and a token. Allocates nothing.
 * @returns finds entries that have their `headerText`
 */
export function createBearerFinder(findToken: TokenFinder): TokenFinder {
  return (bytes, start, end) => {
    const tokenStart = start + bearerPrefix.length;
    if (tokenStart >= end) return undefined;
    if (bytes.readInt32LE(start) !== prefixStart || bytes.readInt32LE(start + restOffset) !== prefixRest)
      return undefined;
    const entry = findToken(bytes, tokenStart, end);
    if (entry !== undefined) entry.headerText ??= bearerPrefix + entry.token;
    return entry;
  };
}
