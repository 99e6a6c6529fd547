import type { ServerResponse } from 'node:http';
import { styleSource } from '../interaction/layout.ts';
import { passkeyScriptSource } from '../interaction/passkey-script.ts';

/** What of a page its policy depends on. */
export type PageNeeds = {
  /** Origins or schemes that a form's answer may redirect to; browsers check those too. */
  formTargets?: readonly string[];
  /** The script of passkeys, which asks here for a challenge. */
  hasPasskeys?: boolean;
};

/** What a page may do: show our style, send forms here and be sent on to the given client's address. */
export const contentSecurityPolicy = ({ formTargets = [], hasPasskeys = false }: PageNeeds = {}): string =>
  [
    "default-src 'none'",
    `style-src ${styleSource}`,
    // Else none, but oidc-provider adds the hash of its self-submitting form, beside which 'none' must not stand.
    ...(hasPasskeys ? [`script-src ${passkeyScriptSource}`, "connect-src 'self'"] : ['script-src']),
    `form-action ${["'self'", ...formTargets].join(' ')}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ');

const fixedHeaders = {
  'content-security-policy': contentSecurityPolicy(),
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  // Not no-referrer: with that a browser sends `Origin: null` with our own forms.
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

export function setSecurityHeaders(response: ServerResponse): void {
  for (const [name, value] of Object.entries(fixedHeaders)) response.setHeader(name, value);
}

// A URL's host may hold a semicolon, which would end the directive.
const cspSource = /^[a-z][a-z0-9+.-]*:(?:\/\/[a-z0-9.:[\]-]+)?$/;

/** The CSP source of a redirect URI: an origin, or the scheme of an app's own address. */
export function formTargetOf(uri: unknown): string | undefined {
  const url = typeof uri === 'string' ? URL.parse(uri) : null;
  const source = url?.origin === 'null' ? url.protocol : url?.origin;
  return source !== undefined && cspSource.test(source) ? source : undefined;
}
