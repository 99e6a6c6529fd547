import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** A cookie that identifies a browser while it logs in. */
export type BrowserCookie = {
  /** The value of the cookie; undefined if the browser has none. */
  read(request: Pick<IncomingMessage, 'headers'>): string | undefined;
  /** Sets the cookie, or extends the known one. @returns its value */
  write(response: ServerResponse, known: string | undefined): string;
};

const valueBytes = 32;
const value = '[\\w-]{43}';
/** Longer than a login may take. Every page of a login extends it. */
const maxAgeSeconds = 60 * 60;

/**
 * oidc-provider's cookies of a pending login have a path, so their names can't have the prefix `__Host-`. A
 * sibling domain can set such cookies and make a user finish a login that an attacker began. It can't set
 * this cookie (RFC 6265bis §4.1.3.2).
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
