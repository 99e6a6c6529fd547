/** Exchanges a user name and a password for tokens; for first-party command lines and apps. */
export const loginGrantType = 'urn:curfew:grant-type:login';

/** RFC 8628 §3.4: for command lines and devices without a browser. */
export const deviceGrantType = 'urn:ietf:params:oauth:grant-type:device_code';

/** The grant types that a client of identity may use. */
export const grantTypes = [
  'authorization_code',
  'refresh_token',
  'client_credentials',
  loginGrantType,
  deviceGrantType,
] as const;
