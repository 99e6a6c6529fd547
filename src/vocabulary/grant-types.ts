/** User name and password for tokens, for first-party command lines and apps that list it. */
export const loginGrantType = 'urn:curfew:grant-type:login';

/** RFC 8628 §3.4. */
export const deviceGrantType = 'urn:ietf:params:oauth:grant-type:device_code';
