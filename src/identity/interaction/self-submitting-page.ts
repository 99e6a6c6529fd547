import { html, trustedHtml } from './html.ts';
import { page } from './layout.ts';
import type { Texts } from '../text/strings.ts';

// oidc-provider's page for a form that submits itself. The library has no hook to replace it.
const theirs =
  /<title>Submitting Callback<\/title>\s*<script>(?<script>.*?)<\/script>.*?(?<form><form\b.*?<\/form>)/s;

const actionPattern = / action="(?<action>[^"]*)"/;

/** A page and the target of its form. */
export type SelfSubmittingPage = { body: string; action: string };

/**
 * Wraps oidc-provider's self-submitting form and its script in identity's layout.
 * @returns undefined for other bodies
 */
export function selfSubmittingPage(body: unknown, texts: Texts): SelfSubmittingPage | undefined {
  const { script, form } = (typeof body === 'string' ? theirs.exec(body)?.groups : undefined) ?? {};
  if (script === undefined || form === undefined) return undefined;
  const { title, submit } = texts.selfSubmitting;
  const button = html`<noscript><button type="submit">${submit}</button></noscript>`.markup;
  const ours = form.replace(/<noscript>.*?<\/noscript>/s, () => button);
  return {
    body: page(texts, title, html`${trustedHtml(ours)}${trustedHtml(`<script>${script}</script>`)}`),
    action: actionPattern.exec(form)?.groups?.['action'] ?? '',
  };
}
