import { html } from './html.ts';
import { page } from './layout.ts';
import type { Texts } from '../text/strings.ts';

export type DeviceForm = {
  action: string;
  /** Ties the form to the browser. */
  xsrf: string;
};

/** The page where a user enters the code of a device (RFC 8628 §3.3). */
export function deviceCodePage(texts: Texts, { action, xsrf }: DeviceForm, problem?: string): string {
  const { device } = texts;
  const alarm = problem === undefined ? undefined : html`<p class="alarm" role="alert">${problem}</p>`;
  return page(
    texts,
    device.title,
    html`<p>${device.text}</p>
      ${alarm}
      <form method="post" action="${action}">
        <input type="hidden" name="xsrf" value="${xsrf}" />
        <label for="user_code">${device.code}</label>
        <input
          id="user_code"
          name="user_code"
          autocomplete="off"
          autocapitalize="characters"
          spellcheck="false"
          maxlength="32"
          required
          autofocus
        />
        <button type="submit">${device.submit}</button>
      </form>`,
  );
}

export type DeviceConfirmation = DeviceForm & { client: string; userCode: string };

/** The page that asks whether the user's own device shows this code (RFC 8628 §5.4). */
export function deviceConfirmPage(texts: Texts, options: DeviceConfirmation): string {
  const { action, xsrf, client, userCode } = options;
  const { device } = texts;
  return page(
    texts,
    device.confirmTitle,
    html`<p>${device.confirmText(client)}</p>
      <p class="code">${userCode}</p>
      <p>${device.confirmWarning}</p>
      <form method="post" action="${action}">
        <input type="hidden" name="xsrf" value="${xsrf}" />
        <input type="hidden" name="user_code" value="${userCode}" />
        <button type="submit" name="confirm" value="yes">${device.allow}</button>
        <button type="submit" name="abort" value="yes" class="quiet">${device.refuse}</button>
      </form>`,
  );
}

export const deviceDonePage = (texts: Texts): string =>
  page(texts, texts.device.doneTitle, html`<p>${texts.device.doneText}</p>`);
