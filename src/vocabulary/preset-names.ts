/** Providers whose access tokens need no description. */
export const presetNames = [
  'keycloak',
  'auth0',
  'okta',
  'entra',
  'cognito',
  'fusionauth',
  'supertokens',
] as const;
