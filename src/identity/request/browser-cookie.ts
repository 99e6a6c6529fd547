import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** Names a browser while it logs in. */
export type BrowserCookie = {
  /** The name this browser was given; undefined when it has none. */
  read(request: Pick<IncomingMessage, 'headers'>): string | undefined;
  /** Gives it one, or the same for longer. */
  write(response: ServerResponse, known: string | undefined): string;
};

const valueBytes = 32;
const value = '[\\w-]{43}';
/** Longer than a login may take; every page of one prolongs it. */
const maxAgeSeconds = 60 * 60;

/**
 * oidc-provider keeps its cookies of a pending login apart by their path, and such a cookie a neighbour domain can set
 * as well: it could have a person finish a login that it began. This one it can't set (RFC 6265bis §4.1.3.2).
 */
export function createBrowserCookie(issuer: string): BrowserCookie {
  const isSecure = issuer.startsWith('https:');
  const name = isSecure ? '__Host-curfew_browser' : 'curfew_browser';
  const pattern = new RegExp(`(?:^|; ?)${name}=(?<value>${value})(?:;|$)`);
  const attributes = `path=/; max-age=${maxAgeSeconds}; samesite=lax; httponly${isSecure ? '; secure' : ''}`;
  return {
    read: ({ headers }) => pattern.exec(headers.cookie ?? '')?.groups?.['value'],
    write: (response, known = randomBytes(valueBytes).toString('base64url')) => {
      response.appendHeader('set-cookie', `${name}=${known}; ${attributes}`);
      return known;
    },
  };
}
