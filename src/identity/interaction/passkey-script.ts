import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { trustedHtml } from './html.ts';

const script = readFileSync(new URL('./passkey-forms.js', import.meta.url), 'utf8');

/** Belongs at the end of a page with passkey forms. */
export const passkeyScript = trustedHtml(`<script>${script}</script>`);

/** The only script that the Content-Security-Policy of such a page allows. */
export const passkeyScriptSource = `'sha256-${hash('sha256', script, 'base64')}'`;
