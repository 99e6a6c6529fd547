import { html, type Html } from './html.ts';
import { passkeyScript } from './passkey-script.ts';
import { row, time } from './sessions-page.ts';
import type { Texts } from '../text/strings.ts';

/** Times in ms. */
export type ListedPasskey = {
  id: string;
  name: string;
  isBackedUp: boolean;
  createdAtMs: number;
  lastUsedAtMs: number | undefined;
};

export type PasskeysSection = {
  passkeys: readonly ListedPasskey[];
  csrf: string;
  /** The URLs of the forms. */
  actions: { add: string; challenge: string; rename: string; remove: string };
  /** Suggested for a new passkey. */
  suggestedName: string;
  /** Whether the login is too old to add a passkey without the password. */
  isPasswordNeeded: boolean;
  isFull: boolean;
  /** Why the last attempt to add one failed. */
  problem: string | undefined;
};

/** In characters. */
export const maxNameLength = 64;

/** The passkeys on the account page, below the sessions. */
export function passkeysSection(texts: Texts, section: PasskeysSection): Html {
  const { passkeys } = texts;
  const { problem, isFull, passkeys: listed } = section;
  return html`<h2 class="section" id="passkeys">${passkeys.title}</h2>
    <p>${passkeys.text}</p>
    ${problem === undefined ? undefined : alarm(problem)}
    ${listed.length === 0 ? html`<p>${passkeys.none}</p>` : cards(texts, section)}
    ${isFull ? html`<p>${passkeys.full}</p>` : addForm(texts, section)}`;
}

/** The alarm may be far down the page, so it gets the focus, which scrolls it into view. */
const alarm = (problem: string): Html =>
  html`<p class="alarm" role="alert" tabindex="-1" autofocus>${problem}</p>`;

const cards = (texts: Texts, section: PasskeysSection): Html =>
  html`<ul class="cards">
      ${section.passkeys.map((one) => card(texts, one, section))}
    </ul>
    <p>${texts.passkeys.removedHint}</p>`;

function card(texts: Texts, passkey: ListedPasskey, { actions, csrf }: PasskeysSection): Html {
  const { passkeys } = texts;
  const { id, name, isBackedUp, createdAtMs, lastUsedAtMs } = passkey;
  const used = lastUsedAtMs === undefined ? passkeys.neverUsed : time(texts, lastUsedAtMs);
  const hidden = html`<input type="hidden" name="csrf" value="${csrf}" />
    <input type="hidden" name="passkey" value="${id}" />`;
  return html`<li>
    <h3>${name}</h3>
    <dl>
      ${row(passkeys.place, isBackedUp ? passkeys.synced : passkeys.bound)}
      ${row(passkeys.created, time(texts, createdAtMs))} ${row(passkeys.lastUsed, used)}
    </dl>
    <details>
      <summary aria-label="${passkeys.renameOf(name)}">${passkeys.rename}</summary>
      <form method="post" action="${actions.rename}">
        ${hidden}
        <label for="name-${id}">${passkeys.name}</label>
        <input
          id="name-${id}"
          name="name"
          value="${name}"
          maxlength="${String(maxNameLength)}"
          autocomplete="off"
          required
        />
        <button type="submit" class="quiet">${passkeys.save}</button>
      </form>
    </details>
    <form method="post" action="${actions.remove}">
      ${hidden}
      <button type="submit" class="quiet" aria-label="${passkeys.removeOf(name)}">${passkeys.remove}</button>
    </form>
  </li>`;
}

/** Hidden until the script has found that the browser supports passkeys. */
function addForm({ passkeys }: Texts, section: PasskeysSection): Html {
  const { actions, csrf, suggestedName, isPasswordNeeded } = section;
  return html`<p data-without-passkeys>${passkeys.unsupported}</p>
    <form
      method="post"
      action="${actions.add}"
      data-passkey="create"
      data-challenge="${actions.challenge}"
      data-failed="${passkeys.failed}"
      hidden
    >
      <h3>${passkeys.addTitle}</h3>
      <input type="hidden" name="csrf" value="${csrf}" />
      <input type="hidden" name="credential" />
      <label for="passkey-name">${passkeys.name}</label>
      <input
        id="passkey-name"
        name="name"
        value="${suggestedName}"
        maxlength="${String(maxNameLength)}"
        autocomplete="off"
        required
      />
      ${isPasswordNeeded ? passwordField(passkeys.password) : undefined}
      <p class="alarm" role="alert" hidden></p>
      <button type="submit">${passkeys.add}</button>
    </form>
    ${passkeyScript}`;
}

const passwordField = (label: string): Html =>
  html`<label for="passkey-password">${label}</label>
    <input
      id="passkey-password"
      name="password"
      type="password"
      autocomplete="current-password"
      maxlength="1024"
      required
    />`;
