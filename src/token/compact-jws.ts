import { parseJsonObject, type JsonObject } from './strict-json.ts';
import { reject, type Rejected } from './rejection.ts';

/** The decoded parts of a JWS in compact serialization. The signature is not verified. */
export type CompactJws = {
  readonly kind: 'parsed';
  readonly header: JsonObject;
  readonly claims: JsonObject;
};

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Decodes a JWT (RFC 7515 §7.1). It accepts one spelling only: three parts of canonical base64url without
 * padding (RFC 4648 §3.5: unused bits are zero), JSON objects in UTF-8 with unique members. Never throws.
 * @param maxLength longest token accepted, in characters
 */
export function parseCompactJws(token: string, maxLength: number): CompactJws | Rejected {
  if (token.length > maxLength)
    return malformed('token', `at most ${maxLength} bytes`, `${token.length} bytes`);
  const parts = token.split('.', 6);
  const [encodedHeader, encodedClaims, signature] = parts;
  if (
    parts.length !== 3 ||
    encodedHeader === undefined ||
    encodedClaims === undefined ||
    signature === undefined
  )
    return malformed('token', 'three parts (a signed JWT)', partsFound(parts.length));
  const header = decodeObject('header', encodedHeader);
  if (header.kind === 'rejected') return header;
  const claims = decodeObject('payload', encodedClaims);
  if (claims.kind === 'rejected') return claims;
  if (decodeBase64url(signature) === undefined)
    return malformed('signature', 'canonical base64url', 'another text');
  return { kind: 'parsed', header: header.value, claims: claims.value };
}

/** Decodes canonical base64url without padding. @returns undefined for any other text */
export function decodeBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

function decodeObject(
  part: 'header' | 'payload',
  text: string,
): { kind: 'object'; value: JsonObject } | Rejected {
  const bytes = decodeBase64url(text);
  if (bytes === undefined) return malformed(part, 'canonical base64url', 'another text');
  const json = decodeUtf8(bytes);
  if (json === undefined) return malformed(part, 'UTF-8', 'other bytes');
  const parsed = parseJsonObject(json);
  if (parsed.kind === 'invalid') return malformed(part, 'a JSON object with unique members', parsed.problem);
  return parsed;
}

function decodeUtf8(bytes: Buffer): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

const partsFound = (count: number): string =>
  count === 5 ? 'five parts (an encrypted JWT)' : count > 5 ? 'more than five parts' : `${count}`;

const malformed = (claim: string, expected: string, found: string): Rejected =>
  reject('malformed_token', { claim, expected, found });
