import type { AuthorizerMetrics } from '../runtime/metrics.ts';
import type { AccessToken } from '../token/access-token.ts';
import type { RejectionDetail } from '../token/rejection.ts';
import type { HeaderValue, TokenMetadata, UpstreamIdentity } from './decision.ts';

export type UpstreamIdentityOptions = {
  /** Header name → claim name. */
  readonly headers: Readonly<Record<string, string>>;
  /** Headers that are removed from every request. */
  readonly hidden: readonly string[];
  readonly metrics: Pick<AuthorizerMetrics, 'upstreamValuesDropped'>;
};

/** A claim that is too long for a header. */
export type Oversize = { readonly kind: 'oversize'; readonly detail: RejectionDetail };

export type PreparedIdentity =
  | {
      readonly kind: 'identity';
      readonly upstream: UpstreamIdentity;
      /** Headers to remove: those for which the token has no value, and the hidden ones. */
      readonly remove: readonly string[];
    }
  | Oversize;

const maxValueLength = 4096;

/**
 * Turns claims into header values. If one of them is too long the request is denied: a truncated value would
 * name somebody else.
 */
export function createUpstreamIdentity(
  options: UpstreamIdentityOptions,
): (token: AccessToken) => PreparedIdentity {
  const mapping = Object.entries(options.headers);
  const dropped = options.metrics.upstreamValuesDropped.labels('too_long');
  return (token) => {
    const set: HeaderValue[] = [];
    const remove: string[] = [...options.hidden];
    for (const [name, claim] of mapping) {
      const value = headerValue(token.claims[claim]);
      if (value === undefined) {
        remove.push(name);
        continue;
      }
      if (value.length > maxValueLength) {
        dropped.inc();
        const expected = `at most ${maxValueLength} bytes as the header ${name}`;
        return { kind: 'oversize', detail: { claim, expected, found: `${value.length} bytes` } };
      }
      set.push([name, value]);
    }
    return { kind: 'identity', upstream: { set, metadata: metadataOf(token) }, remove };
  };
}

const metadataOf = (token: AccessToken): TokenMetadata => ({
  sub: token.subject,
  session: token.session,
  iss: token.issuer,
  scopes: token.scopes,
  exp: token.expiresAt,
});

/**
 * Writes a claim as a header value: texts as they are, lists joined with spaces, objects as JSON. Everything
 * outside printable ASCII is percent-encoded, so that decoding returns the claim unchanged.
 * @returns undefined for a claim that is absent, null or empty
 */
export function headerValue(claim: unknown): string | undefined {
  const value = Array.isArray(claim) ? claim.map(listItem).join(' ') : encoded(textOf(claim));
  return value === '' ? undefined : value;
}

// A space inside an item would split it: `["admin user"]` must not be read as `["admin", "user"]`.
const listItem = (item: unknown): string => encoded(textOf(item)).replaceAll(' ', '%20');

function textOf(claim: unknown): string {
  if (claim === undefined || claim === null) return '';
  return typeof claim === 'string' ? claim : JSON.stringify(claim);
}

// Spaces at either end are encoded too: HTTP drops them (RFC 9110 §5.5), and ` admin` is not `admin`. The
// lookbehind of the last pattern keeps the search linear: without it, the search would begin again at each
// space of a long run.
const toBeEncoded = /%|[^\x20-\x7e]+|^ +|(?<! ) +$/g;

const encoded = (text: string): string => text.replace(toBeEncoded, percent);

function percent(text: string): string {
  let encodedText = '';
  for (const byte of Buffer.from(text)) encodedText += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return encodedText;
}
