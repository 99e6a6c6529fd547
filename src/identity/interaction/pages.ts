import { html, trustedHtml, type Html } from './html.ts';
import { page } from './layout.ts';
import { passkeyScript } from './passkey-script.ts';
import type { Texts } from '../text/strings.ts';

export type LoginPage = {
  action: string;
  cancelAction: string;
  client: string;
  username: string;
  /** Why the last attempt failed. */
  problem: string | undefined;
  hasPasskeys: boolean;
};

export function loginPage(
  texts: Texts,
  { action, cancelAction, client, username, problem, hasPasskeys }: LoginPage,
): string {
  const { login } = texts;
  const alarm = problem === undefined ? undefined : html`<p class="alarm" role="alert">${problem}</p>`;
  // The next field to fill in has the focus.
  const [focusName, focusPassword] =
    username === '' ? [trustedHtml('autofocus'), undefined] : [undefined, trustedHtml('autofocus')];
  return page(
    texts,
    login.title,
    html`<p>${login.to(client)}</p>
      ${alarm}
      <form method="post" action="${action}">
        <label for="username">${login.username}</label>
        <input
          id="username"
          name="username"
          value="${username}"
          autocomplete="username"
          autocapitalize="none"
          spellcheck="false"
          maxlength="128"
          required
          ${focusName}
        />
        <label for="password">${login.password}</label>
        <input
          id="password"
          name="password"
          type="password"
          autocomplete="current-password"
          maxlength="1024"
          required
          ${focusPassword}
        />
        <button type="submit">${login.submit}</button>
      </form>
      ${hasPasskeys ? passkeyButton(texts, action) : undefined}
      <form method="post" action="${cancelAction}">
        <button type="submit" class="quiet">${login.cancel}</button>
      </form>
      ${hasPasskeys ? passkeyScript : undefined}`,
  );
}

/** Hidden until the script has found that the browser supports passkeys. */
function passkeyButton({ login, passkeys }: Texts, action: string): Html {
  return html`<form
    method="post"
    action="${action}/passkey"
    data-passkey="get"
    data-challenge="${action}/passkey-challenge"
    data-failed="${passkeys.failed}"
    hidden
  >
    <input type="hidden" name="credential" />
    <p class="alarm" role="alert" hidden></p>
    <button type="submit" class="quiet">${login.passkey}</button>
  </form>`;
}

export type ConfirmPage = { action: string; cancelAction: string; client: string };

/** Confirmation for native apps, because any app on the device can pose as the client (RFC 8252 §8.6). */
export function confirmPage(texts: Texts, { action, cancelAction, client }: ConfirmPage): string {
  const { confirm } = texts;
  return page(
    texts,
    confirm.title,
    html`<p>${confirm.text(client)}</p>
      <form method="post" action="${action}">
        <button type="submit" autofocus>${confirm.submit}</button>
      </form>
      <form method="post" action="${cancelAction}">
        <button type="submit" class="quiet">${confirm.cancel}</button>
      </form>`,
  );
}

export type ConsentPage = ConfirmPage & {
  openid: readonly string[];
  /** Scopes by the name of their resource. */
  resources: Readonly<Record<string, readonly string[]>>;
};

/** Consent to the scopes that a third-party client requests. */
export function consentPage(texts: Texts, options: ConsentPage): string {
  const { action, cancelAction, client, openid, resources } = options;
  const { consent } = texts;
  const known: Readonly<Record<string, string>> = { openid: consent.openid, profile: consent.profile };
  const requested = [
    ...openid.map((scope) => known[scope] ?? scope),
    ...Object.entries(resources).flatMap(([name, scopes]) =>
      scopes.map((scope) => consent.scope(scope, name)),
    ),
  ];
  return page(
    texts,
    consent.title,
    html`<p>${consent.text(client)}</p>
      <ul>
        ${requested.map((scope) => html`<li>${scope}</li>`)}
      </ul>
      <form method="post" action="${action}">
        <button type="submit">${consent.submit}</button>
      </form>
      <form method="post" action="${cancelAction}">
        <button type="submit" class="quiet">${consent.cancel}</button>
      </form>`,
  );
}

/**
 * @param form oidc-provider's form with the request; its id is `op.logoutForm`
 */
export function logoutPage(texts: Texts, form: string): string {
  const { logout } = texts;
  return page(
    texts,
    logout.title,
    html`<p>${logout.text}</p>
      ${trustedHtml(form)}
      <button type="submit" form="op.logoutForm" name="logout" value="yes" autofocus>${logout.submit}</button>
      <button type="submit" form="op.logoutForm" class="quiet">${logout.stay}</button>`,
  );
}

export function loggedOutPage({ loggedOut, ...texts }: Texts, text = loggedOut.text): string {
  return page({ loggedOut, ...texts }, loggedOut.title, html`<p>${text}</p>`);
}

/** The page after an unsuccessful login. `path` is where another login begins. */
export function notLoggedInPage({ notLoggedIn, ...texts }: Texts, path: string): string {
  const { title, text, logIn } = notLoggedIn;
  return page(
    { notLoggedIn, ...texts },
    title,
    html`<p>${text}</p>
      <p><a href="${path}">${logIn}</a></p>`,
  );
}

/**
 * @param problem for the user
 * @param details OAuth error code and description, for the app's developers
 */
export function errorPage(
  texts: Texts,
  problem: string,
  details?: { error: string; description: string },
): string {
  const shown =
    details === undefined
      ? undefined
      : html`<p>
          <code>${details.error}${details.description === '' ? '' : `: ${details.description}`}</code>
        </p>`;
  return page(
    texts,
    texts.error.title,
    html`<p>${problem}</p>
      ${shown}`,
  );
}
