/** Every text a person reads, in one place. */
export const strings = {
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
  },
  confirm: {
    title: 'Continue?',
    text: (client: string) => `The app ${client} on this device asks to use your login.`,
    submit: 'Continue',
    cancel: 'Cancel',
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
  },
} as const;

const duration = (seconds: number): string =>
  seconds < 60
    ? `${seconds} second${seconds === 1 ? '' : 's'}`
    : `${Math.ceil(seconds / 60)} minute${seconds <= 60 ? '' : 's'}`;
