/** Names and rules of claims that identity writes and the authorizer reads. */

/** The claim in which identity names the refresh token family of an access token. */
export const grantIdClaim = 'grant_id';

/** The media type of a JWT access token, as in the header parameter `typ` (RFC 9068 §2.1). */
export const accessTokenType = 'at+jwt';

/** Longest id (`sub`, `jti`, session, client) a token or an event may hold, in UTF-16 code units. */
export const maxIdLength = 256;

/** True for a text that may name a subject, a session, a token or a client. */
export const isId = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= maxIdLength;
