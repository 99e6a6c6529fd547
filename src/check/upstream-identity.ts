import type { AuthorizerMetrics } from '../runtime/metrics.ts';
import type { AccessToken } from '../token/access-token.ts';
import type { RejectionDetail } from '../token/rejection.ts';
import type { HeaderValue, TokenMetadata, UpstreamIdentity } from './decision.ts';

export type UpstreamIdentityOptions = {
  /** Header name → claim name. */
  readonly headers: Readonly<Record<string, string>>;
  /** Headers that are taken away from every request. */
  readonly hidden: readonly string[];
  readonly metrics: Pick<AuthorizerMetrics, 'upstreamValuesDropped'>;
};

/** A claim that is too long to be passed on. */
export type Oversize = { readonly kind: 'oversize'; readonly detail: RejectionDetail };

export type PreparedIdentity =
  | {
      readonly kind: 'identity';
      readonly upstream: UpstreamIdentity;
      /** Headers to take away: those for which the token has no value, and the hidden ones. */
      readonly remove: readonly string[];
    }
  | Oversize;

const maxValueLength = 4096;

/**
 * Turns claims into header values. If one of them is too long the request is denied: a truncated value would name
 * somebody else.
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
 * A claim as a header value: texts as they are, lists joined with spaces, objects as JSON, all percent-encoded outside
 * printable ASCII, so that decoding gives back the very claim. Undefined for an absent, null or empty one.
 */
export function headerValue(claim: unknown): string | undefined {
  const value = Array.isArray(claim) ? claim.map(listItem).join(' ') : encoded(textOf(claim));
  return value === '' ? undefined : value;
}

// A space inside an item would make two of one: `["admin user"]` must not read as `["admin", "user"]`.
const listItem = (item: unknown): string => encoded(textOf(item)).replaceAll(' ', '%20');

function textOf(claim: unknown): string {
  if (claim === undefined || claim === null) return '';
  return typeof claim === 'string' ? claim : JSON.stringify(claim);
}

// Spaces at either end are encoded too: HTTP drops them (RFC 9110 §5.5), and ` admin` is not `admin`. The last pattern
// begins where spaces begin: tried at each of them, a long run within a claim would take quadratic time.
const toBeEncoded = /%|[^\x20-\x7e]+|^ +|(?<! ) +$/g;

const encoded = (text: string): string => text.replace(toBeEncoded, percent);

function percent(text: string): string {
  let encodedText = '';
  for (const byte of Buffer.from(text)) encodedText += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return encodedText;
}
