import type { TokenProof } from './verify-token.ts';

/** Where a request may carry its token. Header names in lower case. */
export type CredentialSource = { readonly header: string } | { readonly cookie: string };

/** A token as a request presents it. */
export type PresentedToken = {
  readonly kind: 'token';
  readonly token: string;
  /** What it was proven to be when it was presented before: the verifier's. */
  proof: TokenProof | undefined;
};

export type Credential =
  | { readonly kind: 'none' }
  | PresentedToken
  | { readonly kind: 'multiple' }
  | { readonly kind: 'malformed'; readonly source: string; readonly problem: string };

export type CredentialExtractor = (headers: ReadonlyMap<string, readonly string[]>) => Credential;

// Room for the scheme, and for Envoy joining two equal headers with a comma.
const headerSlack = 64;
// Envoy refuses more than 60 KiB of headers by default.
const maxCookieLength = 64 * 1024;
const none: Credential = { kind: 'none' };
const multiple: Credential = { kind: 'multiple' };
// RFC 9110 §11.4: spaces follow. What other white space follows is a token to some servers: none to be let by as no token.
const bearerScheme = /^bearer(?=\s|$) */i;

/**
 * Finds the one credential of a request (RFC 6750 §2.1). Sources are read in order; the same token may appear in
 * several, two different ones are refused (RFC 6750 §2). Lengths are judged before anything is parsed. Never throws.
 * Cost: for the usual single `Bearer` header one substring.
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
  return (headers) => {
    let found = none;
    for (const read of readers) {
      const credential = read(headers);
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
  // RFC 9110 §11.6.2: these carry a scheme; any other header of choice may hold the bare token.
  const needsScheme = name === 'authorization' || name === 'proxy-authorization';
  const plain = createPlainBearers();
  return (headers) => {
    const values = headers.get(name);
    const value = values?.[0];
    if (values === undefined || value === undefined) return none;
    if (values.length === 1 && value.length <= maxTokenBytes) {
      const credential = plain(value);
      if (credential !== undefined) return credential;
    }
    const text = values.length === 1 ? value : values.join();
    if (text.length > maxLength) return malformed(name, `longer than ${maxLength} bytes`);
    return oneOf(text.split(',').map((part) => readPart(part.trim(), name, needsScheme)));
  };
}

// What else the token holds is judged when it is read as one.
const isPlainBearer = (value: string): boolean =>
  value.startsWith('Bearer ') && value.lastIndexOf(' ') === 'Bearer'.length;

// Less than half of what the verifier's cache holds, where all are looked up anew when these are forgotten. Those in use don't
// get old there in between, unless many times as many tokens come by cookie, or longer than are remembered.
const maxRemembered = 2048;
/** Longer ones are taken apart each time: what is remembered stays below 12 MB, proofs included that the verifier's cache has forgotten. */
const maxRememberedLength = 2048;

/**
 * Reads `Bearer` and a token; undefined for all else. Gives an equal value the same credential again, with what the verifier
 * found it to be.
 */
function createPlainBearers(): (value: string) => Credential | undefined {
  const remembered = new Map<string, Credential>();
  return (value) => {
    const known = remembered.get(value);
    if (known !== undefined) return known;
    if (!isPlainBearer(value)) return undefined;
    const credential = presented(value.slice('Bearer '.length));
    if (value.length > maxRememberedLength) return credential;
    if (remembered.size >= maxRemembered) remembered.clear();
    remembered.set(value, credential);
    return credential;
  };
}

/** Another scheme's credential: not ours to judge, but not to be mixed with a token either. */
const foreign = { kind: 'foreign' } as const;

function readPart(part: string, name: string, needsScheme: boolean): Credential | typeof foreign {
  if (part === '') return none;
  const scheme = bearerScheme.exec(part)?.[0];
  if (scheme === undefined && needsScheme) return foreign;
  const token = scheme === undefined ? part : part.slice(scheme.length);
  if (token === '') return malformed(name, 'a scheme without a token');
  return /\s/.test(token) ? malformed(name, 'white space in the token') : presented(token);
}

/** Two values of `authorization` reach us as two values or joined with a comma (RFC 9110 §5.3). */
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
        // Also one cookie set twice, for the host and for its parent domain: which one counts is anyone's guess.
        if (found.kind === 'token' && found.token !== token) return multiple;
        found = presented(token);
      }
    }
    return found;
  };
}

// RFC 6265 §4.1.1: names have case; a value may stand in quotes.
function valueOf(pair: string, name: string): string | undefined {
  const equals = pair.indexOf('=');
  if (equals === -1 || pair.slice(0, equals).trim() !== name) return undefined;
  const value = pair.slice(equals + 1).trim();
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}

const presented = (token: string): PresentedToken => ({ kind: 'token', token, proof: undefined });

const malformed = (source: string, problem: string): Credential => ({ kind: 'malformed', source, problem });
