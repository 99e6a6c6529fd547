import { TokenEntry } from './token-table.ts';

/** Where a request may carry its token. Header names in lower case. */
export type CredentialSource = { readonly header: string } | { readonly cookie: string };

export type Credential =
  | { readonly kind: 'none' }
  | TokenEntry
  | { readonly kind: 'multiple' }
  | { readonly kind: 'malformed'; readonly source: string; readonly problem: string };

/** @param known the entry of a header value that was found in the token table, as `Bearer` and a token */
export type CredentialExtractor = (
  headers: ReadonlyMap<string, readonly string[]>,
  known?: TokenEntry,
) => Credential;

// Room for the scheme, and for Envoy joining two equal headers with a comma.
const headerSlack = 64;
// Envoy refuses more than 60 KiB of headers by default.
const maxCookieLength = 64 * 1024;
const none: Credential = { kind: 'none' };
const multiple: Credential = { kind: 'multiple' };
// RFC 9110 §11.4 allows only spaces after the scheme. Some servers also accept tabs, so any white space
// introduces a credential here; otherwise a tab would turn a bad token into "no token".
const bearerScheme = /^bearer(?=\s|$) */i;

/**
 * Finds the one credential of a request (RFC 6750 §2.1). Sources are read in order; the same token may appear
 * in several, two different ones are refused (RFC 6750 §2). Lengths are checked before anything is parsed.
 * Never throws.
 * Cost: a comparison for a known token; one substring for another single `Bearer` header.
 */
export function createCredentialExtractor(options: {
  readonly sources: readonly CredentialSource[];
  /** Longest token, in bytes. */
  readonly maxTokenBytes: number;
}): CredentialExtractor {
  const { maxTokenBytes } = options;
  const readers = options.sources.map((source) =>
    'header' in source
      ? headerReader(source.header, maxTokenBytes)
      : cookieReader(source.cookie, maxTokenBytes),
  );
  return (headers, known) => {
    let found = none;
    for (const read of readers) {
      const credential = read(headers, known);
      if (credential === none) continue;
      if (credential.kind !== 'token') return credential;
      if (found.kind === 'token' && found.token !== credential.token) return multiple;
      found = credential;
    }
    return found;
  };
}

function headerReader(name: string, maxTokenBytes: number): CredentialExtractor {
  const maxLength = 2 * (maxTokenBytes + headerSlack);
  // RFC 9110 §11.6.2: these carry a scheme. Any other header may hold the token alone.
  const needsScheme = name === 'authorization' || name === 'proxy-authorization';
  return (headers, known) => {
    const values = headers.get(name);
    const value = values?.[0];
    if (values === undefined || value === undefined) return none;
    if (values.length === 1) {
      if (known !== undefined && known.headerText === value) return known;
      if (value.length <= maxTokenBytes && isPlainBearer(value))
        return new TokenEntry(value.slice(bearerPrefix.length), value);
    }
    const text = values.length === 1 ? value : values.join();
    if (text.length > maxLength) return malformed(name, `longer than ${maxLength} bytes`);
    return oneOf(text.split(',').map((part) => readPart(part.trim(), name, needsScheme)));
  };
}

/** Precedes the token in nearly all requests. */
export const bearerPrefix = 'Bearer ';

// Other characters that a token can't have are rejected when it is parsed.
const isPlainBearer = (value: string): boolean =>
  value.startsWith(bearerPrefix) && value.lastIndexOf(' ') === bearerPrefix.length - 1;

/** A credential of another scheme. It is ignored, but refused beside a token. */
const foreign = { kind: 'foreign' } as const;

function readPart(part: string, name: string, needsScheme: boolean): Credential | typeof foreign {
  if (part === '') return none;
  const scheme = bearerScheme.exec(part)?.[0];
  if (scheme === undefined && needsScheme) return foreign;
  const token = scheme === undefined ? part : part.slice(scheme.length);
  if (token === '') return malformed(name, 'a scheme without a token');
  return /\s/.test(token) ? malformed(name, 'white space in the token') : new TokenEntry(token);
}

/** A proxy may pass on two values of a header as two values, or joined with a comma (RFC 9110 §5.3). */
function oneOf(parts: readonly (Credential | typeof foreign)[]): Credential {
  let found: Credential = none;
  for (const part of parts) {
    if (part.kind === 'none' || part.kind === 'foreign') continue;
    if (part.kind !== 'token') return part;
    if (found.kind === 'token' && found.token !== part.token) return multiple;
    found = part;
  }
  return found.kind === 'token' && parts.includes(foreign) ? multiple : found;
}

function cookieReader(name: string, maxTokenBytes: number): CredentialExtractor {
  const source = `cookie ${name}`;
  return (headers) => {
    let found = none;
    for (const value of headers.get('cookie') ?? []) {
      if (value.length > maxCookieLength)
        return malformed(source, `cookies longer than ${maxCookieLength} bytes`);
      for (const pair of value.split(';')) {
        const token = valueOf(pair, name);
        if (token === undefined || token === '') continue;
        if (token.length > maxTokenBytes) return malformed(source, `longer than ${maxTokenBytes} bytes`);
        // A cookie may also be set twice, for the host and for its parent domain; servers differ in which one
        // they use.
        if (found.kind === 'token' && found.token !== token) return multiple;
        found = new TokenEntry(token);
      }
    }
    return found;
  };
}

// RFC 6265 §4.1.1: names are case-sensitive, and a value may be quoted.
function valueOf(pair: string, name: string): string | undefined {
  const equals = pair.indexOf('=');
  if (equals === -1 || pair.slice(0, equals).trim() !== name) return undefined;
  const value = pair.slice(equals + 1).trim();
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}

const malformed = (source: string, problem: string): Credential => ({ kind: 'malformed', source, problem });
