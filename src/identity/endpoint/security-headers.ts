import type { ServerResponse } from 'node:http';
import { styleSource } from '../interaction/layout.ts';
import { passkeyScriptSource } from '../interaction/passkey-script.ts';

/** The properties of a page that its Content-Security-Policy depends on. */
export type PageNeeds = {
  /** Origins or schemes that the response to a form may redirect to. Browsers check redirects, too. */
  formTargets?: readonly string[];
  /** Whether the page contains the passkey script, which fetches a challenge from this origin. */
  hasPasskeys?: boolean;
};

/** Allows a page identity's own style, forms to identity itself, and redirects to the given targets. */
export const contentSecurityPolicy = ({ formTargets = [], hasPasskeys = false }: PageNeeds = {}): string =>
  [
    "default-src 'none'",
    `style-src ${styleSource}`,
    // An empty directive allows no script. It can't be 'none', because oidc-provider appends the hash of the
    // script in its self-submitting form.
    ...(hasPasskeys ? [`script-src ${passkeyScriptSource}`, "connect-src 'self'"] : ['script-src']),
    `form-action ${["'self'", ...formTargets].join(' ')}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ');

const fixedHeaders = {
  'content-security-policy': contentSecurityPolicy(),
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  // With no-referrer, browsers would send `Origin: null` with identity's own forms.
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

export function setSecurityHeaders(response: ServerResponse): void {
  for (const [name, value] of Object.entries(fixedHeaders)) response.setHeader(name, value);
}

// A URL's host may contain a semicolon, which would end the directive.
const cspSource = /^[a-z][a-z0-9+.-]*:(?:\/\/[a-z0-9.:[\]-]+)?$/;

/** The CSP source of a redirect URI: an origin, or the scheme of an app's own address. */
export function formTargetOf(uri: unknown): string | undefined {
  const url = typeof uri === 'string' ? URL.parse(uri) : null;
  const source = url?.origin === 'null' ? url.protocol : url?.origin;
  return source !== undefined && cspSource.test(source) ? source : undefined;
}
