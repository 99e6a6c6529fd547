import type { AdminScope } from '../../vocabulary/admin-scopes.ts';

/** A request that the API refuses. */
export type ApiRefusal = { refusal: 400 | 401 | 403 | 404 | 405 | 413 | 503; detail?: string };

export const titles: Readonly<Record<ApiRefusal['refusal'], string>> = {
  400: 'Bad request',
  401: 'A valid access token is required',
  403: 'Not allowed',
  404: 'No such path',
  405: 'Method not allowed',
  413: 'Request body too long',
  503: 'Temporarily unavailable',
};

export const refusedScope = (scopes: readonly AdminScope[]): ApiRefusal => ({
  refusal: 403,
  detail: `the token needs the scope ${scopes.join(' or ')}`,
});
