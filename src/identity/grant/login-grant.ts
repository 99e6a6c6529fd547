import {
  errors,
  type default as Provider,
  type ResourceServerInstance,
  type TokenEndpointGrantContext,
} from 'oidc-provider';
import type { Authenticate } from '../account/authenticate.ts';
import type { RequestContext } from '../request/request-context.ts';
import type { Account } from '../store/account-store.ts';
import { loginGrantType } from '../../vocabulary/grant-types.ts';
import type { Resources } from './resources.ts';

export const loginGrantParameters = ['username', 'password', 'scope', 'resource'] as const;

type Context = TokenEndpointGrantContext<Partial<Record<(typeof loginGrantParameters)[number], unknown>>>;

export type LoginGrantOptions = {
  provider: Provider;
  authenticate: Authenticate;
  resources: Resources;
  context(): RequestContext;
};

/** Creates the handler of the login grant type. Each login creates a grant of its own. */
export function createLoginGrant(options: LoginGrantOptions): (ctx: Context) => Promise<void> {
  const { provider } = options;
  return async (ctx) => {
    const { client } = ctx.oidc;
    const account = await authenticated(ctx, options);
    const resource = requestedResource(ctx, options);
    const granted = grantedScopes(ctx, resource);
    ctx.oidc.entity('Account', {
      accountId: account.id,
      claims: () => ({ sub: account.id }),
    });

    const grant = new provider.Grant({ accountId: account.id, clientId: client.clientId });
    grant.addResourceScope(resource.identifier(), granted);
    const grantId = await grant.save();
    ctx.oidc.entity('Grant', grant);

    const source = { accountId: account.id, client, grantId, gty: loginGrantType, scope: granted };
    const accessToken = new provider.AccessToken({ ...source, resourceServer: resource });
    ctx.oidc.entity('AccessToken', accessToken);
    const refreshToken = client.grantTypeAllowed('refresh_token')
      ? await saveRefreshToken(options, source, resource)
      : undefined;
    ctx.body = {
      access_token: await accessToken.save(),
      token_type: accessToken.tokenType,
      expires_in: accessToken.expiration,
      ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
      ...(granted === '' ? {} : { scope: granted }),
    };
  };
}

async function authenticated(ctx: Context, { authenticate, context }: LoginGrantOptions): Promise<Account> {
  const { username, password } = ctx.oidc.params;
  if (typeof username !== 'string' || typeof password !== 'string')
    throw new errors.InvalidRequest('username and password are required');
  const authentication = await authenticate({ username, password, address: context().address });
  switch (authentication.kind) {
    case 'authenticated': {
      const { account } = authentication;
      context().credentials = { accountId: account.id, changedAtMs: account.credentialsChangedAtMs };
      return account;
    }
    case 'refused':
      throw new errors.InvalidGrant({ detail: 'wrong user name or password' });
    case 'throttled':
      ctx.set('retry-after', String(authentication.retryAfterSeconds));
      throw Object.assign(new errors.OIDCProviderError(429, 'temporarily_unavailable'), {
        error_description: 'too many attempts, try again later',
      });
  }
}

function requestedResource(ctx: Context, { provider, resources }: LoginGrantOptions): ResourceServerInstance {
  const { client } = ctx.oidc;
  const named = ctx.oidc.params.resource;
  if (Array.isArray(named)) throw new errors.InvalidTarget('name a single resource');
  const identifier = typeof named === 'string' ? resources.identifierOf(named) : resources.defaultFor(client);
  const server = resources.serverFor(identifier, { client, grantType: loginGrantType });
  return new provider.ResourceServer(identifier, server);
}

/** The requested scopes that the resource has; all its scopes if none are requested. */
function grantedScopes(ctx: Context, resource: ResourceServerInstance): string {
  const { scope } = ctx.oidc.params;
  if (typeof scope !== 'string') return [...resource.scopes].join(' ');
  return [...new Set(scope.split(' '))].filter((name) => resource.scopes.has(name)).join(' ');
}

type Source = Pick<
  ConstructorParameters<Provider['RefreshToken']>[0],
  'accountId' | 'client' | 'grantId' | 'gty' | 'scope'
>;

async function saveRefreshToken(
  { provider }: LoginGrantOptions,
  source: Source,
  resource: ResourceServerInstance,
): Promise<string> {
  const token = new provider.RefreshToken({
    ...source,
    resource: resource.identifier(),
    rotations: 0,
  });
  return await token.save();
}
