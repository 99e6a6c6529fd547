import type { CredentialSource } from '../token/credential.ts';
import { fold, hasSpellings } from '../check/reserved-headers.ts';
import { answerHeaders, type DeniedOptions } from './denied-answer.ts';

/** Which headers of a request are read. */
export type WantedHeaders = {
  /** In lower case. */
  readonly names: readonly string[];
  /** Names in any spelling, compared once letters are in lower case and every other character is a hyphen. */
  readonly folded: readonly string[];
  /** Every header whose name begins with this is read too; compared in the same way. */
  readonly prefix: string;
};

/** The headers that a check with these sources of tokens and this reserved prefix reads, and its answers. */
export function wantedHeaders(
  sources: readonly CredentialSource[],
  prefix: string,
  denied: Pick<DeniedOptions, 'corsOrigins' | 'loginRedirect'>,
): WantedHeaders {
  const credentials = sources.map((source) => ('header' in source ? source.header : 'cookie'));
  return {
    names: [...credentials, ...answerHeaders(denied)],
    folded: [...new Set(credentials.filter(hasSpellings).map(fold))],
    prefix,
  };
}

/**
 * Finds the name, in lower case, of a wanted header in bytes; undefined for all others. Allocates nothing.
 */
export type HeaderFinder = (bytes: Buffer, start: number, end: number) => string | undefined;

/**
 * Separates the headers that are read from the others, so that only the former become texts: a browser sends
 * twenty headers, two of which matter. A name with a byte outside ASCII is wanted if the bytes before it
 * match the prefix: the check then decides by the decoded name.
 */
export function createHeaderFinder({ names, folded: inAnySpelling, prefix }: WantedHeaders): HeaderFinder {
  const byLength: Buffer[][] = [];
  for (const name of new Set(names)) (byLength[name.length] ??= []).push(Buffer.from(name, 'latin1'));
  const texts = new Map(byLength.flat().map((name) => [name, name.toString('latin1')]));
  const prefixBytes = Buffer.from(prefix, 'latin1');
  const spellings = inAnySpelling.map((name) => Buffer.from(name, 'latin1'));
  return (bytes, start, end) => {
    for (const name of byLength[end - start] ?? none) {
      if (equals(bytes, start, name)) return texts.get(name);
    }
    const isWanted =
      mayHavePrefix(bytes, start, end, prefixBytes) ||
      spellings.some((name) => mayBeSpelling(bytes, start, end, name));
    return isWanted ? bytes.toString('utf8', start, end).toLowerCase() : undefined;
  };
}

const none: readonly Buffer[] = [];

/** `name` is in lower case. */
function equals(bytes: Buffer, start: number, name: Buffer): boolean {
  for (let index = 0; index < name.length; index += 1) {
    if (lowered(bytes[start + index] ?? 0) !== name[index]) return false;
  }
  return true;
}

const lowered = (byte: number): number => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte);

function mayHavePrefix(bytes: Buffer, start: number, end: number, prefix: Buffer): boolean {
  for (let index = 0; index < prefix.length && start + index < end; index += 1) {
    const byte = bytes[start + index] ?? 0;
    if (byte >= 0x80) return true;
    if (folded(byte) !== folded(prefix[index] ?? 0)) return false;
  }
  return end - start >= prefix.length;
}

/** Also true for a name with a byte outside ASCII that is equal up to there. @param name folded */
function mayBeSpelling(bytes: Buffer, start: number, end: number, name: Buffer): boolean {
  for (let index = 0; index < name.length && start + index < end; index += 1) {
    const byte = bytes[start + index] ?? 0;
    if (byte >= 0x80) return true;
    if (folded(byte) !== name[index]) return false;
  }
  return end - start === name.length;
}

function folded(byte: number): number {
  const lower = lowered(byte);
  const isAlphanumeric = (lower >= 0x61 && lower <= 0x7a) || (lower >= 0x30 && lower <= 0x39);
  return isAlphanumeric ? lower : 0x2d;
}
