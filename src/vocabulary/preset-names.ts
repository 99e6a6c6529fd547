/** Identity providers whose access tokens Curfew knows: `preset` in the configuration of an issuer. */
export const presetNames = [
  'keycloak',
  'auth0',
  'okta',
  'entra',
  'cognito',
  'fusionauth',
  'supertokens',
] as const;

export type PresetName = (typeof presetNames)[number];
