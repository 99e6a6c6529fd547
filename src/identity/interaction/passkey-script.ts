import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { trustedHtml } from './html.ts';

const script = readFileSync(new URL('./passkey-forms.js', import.meta.url), 'utf8');

/** Goes at the end of a page with a form for passkeys. */
export const passkeyScript = trustedHtml(`<script>${script}</script>`);

/** What the Content-Security-Policy of such a page allows: this very script. */
export const passkeyScriptSource = `'sha256-${hash('sha256', script, 'base64')}'`;
