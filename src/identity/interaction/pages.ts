import { html, trustedHtml } from './html.ts';
import { page } from './layout.ts';
import { strings } from './strings.ts';

export type LoginPage = {
  action: string;
  cancelAction: string;
  client: string;
  username: string;
  /** Why the last attempt failed. */
  problem: string | undefined;
};

export function loginPage({ action, cancelAction, client, username, problem }: LoginPage): string {
  const { login } = strings;
  const alarm = problem === undefined ? undefined : html`<p class="alarm" role="alert">${problem}</p>`;
  // The field to fill in next has the focus.
  const [focusName, focusPassword] =
    username === '' ? [trustedHtml('autofocus'), undefined] : [undefined, trustedHtml('autofocus')];
  return page(
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
      <form method="post" action="${cancelAction}">
        <button type="submit" class="quiet">${login.cancel}</button>
      </form>`,
  );
}

export type ConfirmPage = { action: string; cancelAction: string; client: string };

/** For apps on the device, where anyone may pose as the client (RFC 8252 §8.6). */
export function confirmPage({ action, cancelAction, client }: ConfirmPage): string {
  const { confirm } = strings;
  return page(
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

/**
 * @param form the form that carries the request, id `op.logoutForm`, as oidc-provider made it
 */
export function logoutPage(form: string): string {
  const { logout } = strings;
  return page(
    logout.title,
    html`<p>${logout.text}</p>
      ${trustedHtml(form)}
      <button type="submit" form="op.logoutForm" name="logout" value="yes" autofocus>${logout.submit}</button>
      <button type="submit" form="op.logoutForm" class="quiet">${logout.stay}</button>`,
  );
}

export function loggedOutPage(): string {
  return page(strings.loggedOut.title, html`<p>${strings.loggedOut.text}</p>`);
}

/**
 * @param problem for the reader
 * @param details OAuth's error code and description, for the makers of the app
 */
export function errorPage(problem: string, details?: { error: string; description: string }): string {
  const shown =
    details === undefined
      ? undefined
      : html`<p>
          <code>${details.error}${details.description === '' ? '' : `: ${details.description}`}</code>
        </p>`;
  return page(
    strings.error.title,
    html`<p>${problem}</p>
      ${shown}`,
  );
}
