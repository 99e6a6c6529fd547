import { html, type Html } from './html.ts';
import { page } from './layout.ts';
import type { Texts } from '../text/strings.ts';

/** A device that the user is logged in on. Times in ms since 1970. */
export type ListedDevice = {
  /** The value that the form sends to log it out. */
  key: string;
  device: string;
  address: string;
  apps: readonly string[];
  createdAtMs: number;
  lastUsedAtMs: number;
  isHere: boolean;
};

export type SessionsPage = {
  action: string;
  everywhereAction: string;
  username: string;
  csrf: string;
  devices: readonly ListedDevice[];
  /** Shown below the sessions. */
  more: Html | undefined;
};

/** The user's sessions, with forms to end them. */
export function sessionsPage(texts: Texts, options: SessionsPage): string {
  const { sessions } = texts;
  const { username, devices, everywhereAction, csrf, more } = options;
  return page(
    texts,
    sessions.title,
    html`<p>${sessions.text(username)}</p>
      ${devices.length === 0 ? html`<p>${sessions.none}</p>` : undefined}
      <ul class="cards">
        ${devices.map((one) => card(texts, one, options))}
      </ul>
      <form method="post" action="${everywhereAction}">
        <input type="hidden" name="csrf" value="${csrf}" />
        <button type="submit" aria-describedby="everywhere">${sessions.everywhere}</button>
      </form>
      <p id="everywhere">${sessions.everywhereText}</p>
      ${more}`,
    'wide',
  );
}

function card(texts: Texts, device: ListedDevice, { action, csrf }: SessionsPage): Html {
  const { sessions } = texts;
  const name = deviceName(texts, device.device);
  return html`<li>
    <h2>${name}${device.isHere ? html`<span class="badge">${sessions.here}</span>` : undefined}</h2>
    <dl>
      ${device.apps.length === 0 ? undefined : row(sessions.apps, device.apps.join(', '))}
      ${row(sessions.address, device.address)} ${row(sessions.since, time(texts, device.createdAtMs))}
      ${row(sessions.lastUsed, time(texts, device.lastUsedAtMs))}
    </dl>
    <form method="post" action="${action}">
      <input type="hidden" name="csrf" value="${csrf}" />
      <input type="hidden" name="session" value="${device.key}" />
      <button type="submit" class="quiet" aria-label="${sessions.endOf(name)}">${sessions.end}</button>
    </form>
  </li>`;
}

export const row = (term: string, value: string | Html): Html =>
  html`<dt>${term}</dt>
    <dd>${value}</dd>`;

export function time({ language }: Texts, atMs: number): Html {
  const format = new Intl.DateTimeFormat(language, {
    dateStyle: 'medium',
    timeStyle: 'short',
    timeZone: 'UTC',
  });
  const at = new Date(atMs);
  return html`<time datetime="${at.toISOString()}">${format.format(at)} UTC</time>`;
}

// The first match counts: most browsers also name several others.
const browsers = [
  [/\bEdgA?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/\b(?:Headless)?(?:Chrome|CriOS|Chromium)\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
] as const;
const systems = [
  [/\b(?:iPhone|iPad)\b/, 'iOS'],
  [/\bAndroid\b/, 'Android'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux'],
] as const;

const maxNameLength = 60;

/** A readable name for a browser's `User-Agent`; the beginning of any other one. */
export function deviceName({ sessions }: Texts, userAgent: string): string {
  const browser = browsers.find(([pattern]) => pattern.test(userAgent))?.[1];
  const system = systems.find(([pattern]) => pattern.test(userAgent))?.[1];
  if (browser !== undefined && system !== undefined) return sessions.on(browser, system);
  return userAgent === '' ? sessions.unknown : userAgent.slice(0, maxNameLength);
}
