import type { AdminScope } from '../../vocabulary/admin-scopes.ts';

/** A request that isn't carried out; the status decides the title. */
export type ApiRefusal = { refusal: 400 | 401 | 403 | 404 | 405 | 413 | 503; detail?: string };

export const titles: Readonly<Record<ApiRefusal['refusal'], string>> = {
  400: 'Bad request',
  401: 'A token is needed that is good for this',
  403: 'Not allowed',
  404: 'No such path',
  405: 'No such method here',
  413: 'Too long',
  503: 'Not available at present',
};

export const refusedScope = (scopes: readonly AdminScope[]): ApiRefusal => ({
  refusal: 403,
  detail: `the token needs the scope ${scopes.join(' or ')}`,
});
