import type { ClientMetadata } from 'oidc-provider';

/** The client as which the page of one's own sessions has people log in. It gets no code and no token. */
export const accountClientId = 'curfew-account';

export const accountPath = '/account';

export const accountClient = (issuer: string): ClientMetadata => ({
  client_id: accountClientId,
  client_name: 'Curfew',
  token_endpoint_auth_method: 'none',
  grant_types: [],
  response_types: ['none'],
  redirect_uris: [`${issuer}${accountPath}`],
});
