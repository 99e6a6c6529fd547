/** All texts that users read, in each language. */

const en = {
  language: 'en',
  login: {
    title: 'Log in',
    to: (client: string) => `to continue to ${client}`,
    username: 'User name',
    password: 'Password',
    submit: 'Log in',
    cancel: 'Cancel',
    refused: 'The user name or the password is wrong.',
    throttled: (seconds: number) => `Too many attempts. Try again in ${duration(seconds)}.`,
    passkey: 'Log in with a passkey',
    passkeyRefused: 'This passkey was not accepted. Try again, or use your password.',
  },
  confirm: {
    title: 'Continue?',
    text: (client: string) => `The app ${client} on this device asks to use your login.`,
    submit: 'Continue',
    cancel: 'Cancel',
  },
  consent: {
    title: 'Allow access?',
    text: (client: string) => `${client} asks to:`,
    openid: 'know who you are',
    profile: 'see your user name',
    scope: (scope: string, resource: string) => `use ${scope} at ${resource}`,
    submit: 'Allow',
    cancel: 'Refuse',
  },
  device: {
    title: 'Log in a device',
    text: 'Enter the code that your device shows.',
    code: 'Code',
    submit: 'Continue',
    wrong: 'That code is not right, or no longer. Look at your device again.',
    stopped: 'The login of the device was stopped.',
    confirmTitle: 'Is this your device?',
    confirmText: (client: string) => `${client} asks to use your login. Your device must show this code:`,
    confirmWarning: 'If somebody sent you the code, or you don’t have the device before you, refuse.',
    allow: 'It is my device',
    refuse: 'Refuse',
    doneTitle: 'The device is logged in',
    doneText: 'You can close this page and go on at the device.',
  },
  sessions: {
    title: 'Your sessions',
    text: (username: string) => `Where ${username} is logged in.`,
    none: 'You are logged in nowhere else.',
    here: 'This browser',
    unknown: 'Unknown device',
    on: (browser: string, system: string) => `${browser} on ${system}`,
    apps: 'Apps',
    address: 'Address',
    lastUsed: 'Last used',
    since: 'Since',
    end: 'Log out',
    endOf: (device: string) => `Log out ${device}`,
    everywhere: 'Log out everywhere',
    everywhereText: 'Ends every session of yours, this browser’s included.',
    client: 'Your sessions',
  },
  passkeys: {
    title: 'Your passkeys',
    text: 'With a passkey you log in by your finger, your face or the PIN of your device, without a password.',
    none: 'You have no passkey yet.',
    synced: 'On several devices',
    bound: 'On one device',
    place: 'Kept',
    created: 'Added',
    lastUsed: 'Last used',
    neverUsed: 'Never',
    name: 'Name',
    rename: 'Rename',
    renameOf: (name: string) => `Rename ${name}`,
    save: 'Save',
    remove: 'Remove',
    removeOf: (name: string) => `Remove ${name}`,
    addTitle: 'Add a passkey',
    password: 'Your password, to be sure that it is you',
    add: 'Add a passkey',
    full: 'You have as many passkeys as one can have. Remove one to add another.',
    unsupported: 'This browser, or a browser without JavaScript, can’t add passkeys.',
    failed: 'That did not work with the passkey. Try again.',
    stale: 'Your login is some minutes old by now. Load this page again, and it asks for your password.',
    wrongPassword: 'The password is wrong.',
    taken: 'This passkey is there already.',
    refused: 'This passkey was not accepted. Try again.',
    outdated: 'Your login has changed meanwhile. Log in and try again.',
    unnamed: 'Passkey',
    removedHint: 'A removed passkey no longer logs anybody in. Delete it on your device, too.',
  },
  logout: {
    title: 'Log out?',
    text: 'This ends your login in this browser, and in every app you opened with it here.',
    submit: 'Log out',
    stay: 'Stay logged in',
  },
  loggedOut: {
    title: 'You are logged out',
    text: 'Apps you used in this browser no longer have access.',
    everywhere: 'No app on any device has access any more.',
  },
  notLoggedIn: {
    title: 'You are not logged in',
    text: 'Log in to see your sessions.',
    logIn: 'Log in',
  },
  selfSubmitting: {
    title: 'One moment',
    submit: 'Continue',
  },
  error: {
    title: 'This did not work',
    expired: 'This page is too old, or was opened in another browser. Go back to the app and log in again.',
    unknown: 'Something went wrong here. Try again in a moment.',
    request: 'The app that sent you here made a request that is not allowed. Its makers can look this up:',
    notFound: 'There is no such page.',
    crossSite: 'This form was sent from another site.',
    unavailable: 'The service is not available at present. Try again in a moment.',
    tooMany: 'There were too many visits from your network. Wait a moment and try again.',
  },
};

export type Texts = typeof en;

const de: Texts = {
  language: 'de',
  login: {
    title: 'Anmelden',
    to: (client) => `um zu ${client} zu gelangen`,
    username: 'Benutzername',
    password: 'Passwort',
    submit: 'Anmelden',
    cancel: 'Abbrechen',
    refused: 'Benutzername oder Passwort ist falsch.',
    throttled: (seconds) => `Zu viele Versuche. Versuchen Sie es in ${dauer(seconds)} noch einmal.`,
    passkey: 'Mit einem Passkey anmelden',
    passkeyRefused:
      'Dieser Passkey wurde nicht angenommen. Versuchen Sie es noch einmal, oder verwenden Sie Ihr Passwort.',
  },
  confirm: {
    title: 'Fortfahren?',
    text: (client) => `Die App ${client} auf diesem Gerät möchte Ihre Anmeldung verwenden.`,
    submit: 'Fortfahren',
    cancel: 'Abbrechen',
  },
  consent: {
    title: 'Zugriff erlauben?',
    text: (client) => `${client} möchte:`,
    openid: 'wissen, wer Sie sind',
    profile: 'Ihren Benutzernamen sehen',
    scope: (scope, resource) => `${scope} bei ${resource} verwenden`,
    submit: 'Erlauben',
    cancel: 'Ablehnen',
  },
  device: {
    title: 'Ein Gerät anmelden',
    text: 'Geben Sie den Code ein, den Ihr Gerät zeigt.',
    code: 'Code',
    submit: 'Weiter',
    wrong: 'Dieser Code stimmt nicht oder gilt nicht mehr. Sehen Sie noch einmal auf Ihr Gerät.',
    stopped: 'Die Anmeldung des Geräts wurde abgebrochen.',
    confirmTitle: 'Ist das Ihr Gerät?',
    confirmText: (client) => `${client} möchte Ihre Anmeldung verwenden. Ihr Gerät muss diesen Code zeigen:`,
    confirmWarning:
      'Hat Ihnen jemand den Code geschickt, oder haben Sie das Gerät nicht vor sich, dann lehnen Sie ab.',
    allow: 'Es ist mein Gerät',
    refuse: 'Ablehnen',
    doneTitle: 'Das Gerät ist angemeldet',
    doneText: 'Sie können diese Seite schließen und am Gerät weitermachen.',
  },
  sessions: {
    title: 'Ihre Sitzungen',
    text: (username) => `Hier ist ${username} angemeldet.`,
    none: 'Sie sind sonst nirgends angemeldet.',
    here: 'Dieser Browser',
    unknown: 'Unbekanntes Gerät',
    on: (browser, system) => `${browser} unter ${system}`,
    apps: 'Apps',
    address: 'Adresse',
    lastUsed: 'Zuletzt benutzt',
    since: 'Seit',
    end: 'Abmelden',
    endOf: (device) => `${device} abmelden`,
    everywhere: 'Überall abmelden',
    everywhereText: 'Beendet alle Ihre Sitzungen, auch die dieses Browsers.',
    client: 'Ihre Sitzungen',
  },
  passkeys: {
    title: 'Ihre Passkeys',
    text: 'Mit einem Passkey melden Sie sich mit Finger, Gesicht oder der PIN Ihres Geräts an, ohne Passwort.',
    none: 'Sie haben noch keinen Passkey.',
    synced: 'Auf mehreren Geräten',
    bound: 'Auf einem Gerät',
    place: 'Gespeichert',
    created: 'Hinzugefügt',
    lastUsed: 'Zuletzt benutzt',
    neverUsed: 'Nie',
    name: 'Name',
    rename: 'Umbenennen',
    renameOf: (name) => `${name} umbenennen`,
    save: 'Speichern',
    remove: 'Entfernen',
    removeOf: (name) => `${name} entfernen`,
    addTitle: 'Einen Passkey hinzufügen',
    password: 'Ihr Passwort, damit sicher ist, dass Sie es sind',
    add: 'Passkey hinzufügen',
    full: 'Sie haben so viele Passkeys, wie man haben kann. Entfernen Sie einen, um einen anderen hinzuzufügen.',
    unsupported: 'Dieser Browser, oder einer ohne JavaScript, kann keine Passkeys hinzufügen.',
    failed: 'Das hat mit dem Passkey nicht geklappt. Versuchen Sie es noch einmal.',
    stale:
      'Ihre Anmeldung ist schon einige Minuten alt. Laden Sie diese Seite neu, dann fragt sie nach Ihrem Passwort.',
    wrongPassword: 'Das Passwort ist falsch.',
    taken: 'Diesen Passkey gibt es schon.',
    refused: 'Dieser Passkey wurde nicht angenommen. Versuchen Sie es noch einmal.',
    outdated:
      'Ihre Anmeldung hat sich inzwischen geändert. Melden Sie sich an und versuchen Sie es noch einmal.',
    unnamed: 'Passkey',
    removedHint: 'Ein entfernter Passkey meldet niemanden mehr an. Löschen Sie ihn auch auf Ihrem Gerät.',
  },
  logout: {
    title: 'Abmelden?',
    text: 'Das beendet Ihre Anmeldung in diesem Browser und in jeder App, die Sie hier damit geöffnet haben.',
    submit: 'Abmelden',
    stay: 'Angemeldet bleiben',
  },
  loggedOut: {
    title: 'Sie sind abgemeldet',
    text: 'Apps, die Sie in diesem Browser benutzt haben, haben keinen Zugriff mehr.',
    everywhere: 'Keine App auf irgendeinem Gerät hat mehr Zugriff.',
  },
  notLoggedIn: {
    title: 'Sie sind nicht angemeldet',
    text: 'Melden Sie sich an, um Ihre Sitzungen zu sehen.',
    logIn: 'Anmelden',
  },
  selfSubmitting: {
    title: 'Einen Moment',
    submit: 'Weiter',
  },
  error: {
    title: 'Das hat nicht geklappt',
    expired:
      'Diese Seite ist zu alt oder wurde in einem anderen Browser geöffnet. Gehen Sie zur App zurück und melden Sie sich neu an.',
    unknown: 'Hier ist etwas schiefgegangen. Versuchen Sie es gleich noch einmal.',
    request:
      'Die App, die Sie hergeschickt hat, hat eine unzulässige Anfrage gestellt. Ihre Hersteller können dies nachschlagen:',
    notFound: 'Diese Seite gibt es nicht.',
    crossSite: 'Dieses Formular kam von einer anderen Website.',
    unavailable: 'Der Dienst ist zurzeit nicht verfügbar. Versuchen Sie es gleich noch einmal.',
    tooMany:
      'Aus Ihrem Netz kamen zu viele Besuche. Warten Sie einen Moment und versuchen Sie es noch einmal.',
  },
};

function duration(seconds: number): string {
  if (seconds < 60) return `${seconds} second${seconds === 1 ? '' : 's'}`;
  const minutes = Math.ceil(seconds / 60);
  return `${minutes} minute${minutes === 1 ? '' : 's'}`;
}

function dauer(seconds: number): string {
  if (seconds < 60) return `${seconds} Sekunde${seconds === 1 ? '' : 'n'}`;
  const minutes = Math.ceil(seconds / 60);
  return `${minutes} Minute${minutes === 1 ? '' : 'n'}`;
}

const languages: Readonly<Record<string, Texts>> = { en, de };

const maxHeaderLength = 256;
// RFC 9110 §12.5.4: `de-AT;q=0.8`.
const preference =
  /^\s*(?<language>[a-z]{1,8}|\*)(?:-[a-z0-9-]{1,32})?\s*(?:;\s*q=(?<weight>[01](?:\.\d{0,3})?))?\s*$/i;

/** The texts in the available language that the browser prefers most; English if it prefers none of them. */
export function textsFor(acceptLanguage: string | undefined): Texts {
  let best = { texts: en, weight: 0 };
  for (const part of (acceptLanguage ?? '').slice(0, maxHeaderLength).split(',')) {
    const { language = '', weight = '1' } = preference.exec(part)?.groups ?? {};
    const texts = languages[language.toLowerCase()];
    if (texts !== undefined && Number(weight) > best.weight) best = { texts, weight: Number(weight) };
  }
  return best.texts;
}
