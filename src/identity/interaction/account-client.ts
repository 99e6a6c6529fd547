import type { ClientMetadata } from 'oidc-provider';
import { accountClientId } from '../../vocabulary/account-client.ts';

export const accountPath = '/account';

/** The client with which users log in at the account page. It gets neither a code nor a token. */
export const accountClient = (issuer: string): ClientMetadata => ({
  client_id: accountClientId,
  client_name: 'Curfew',
  token_endpoint_auth_method: 'none',
  grant_types: [],
  response_types: ['none'],
  redirect_uris: [`${issuer}${accountPath}`],
});
