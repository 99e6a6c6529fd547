import * as v from 'valibot';
import { nonEmpty, secret, url } from '../runtime/config-values.ts';
import { accountClientId } from '../vocabulary/account-client.ts';
import { adminScopes } from '../vocabulary/admin-scopes.ts';
import { grantTypes, loginGrantType } from '../vocabulary/grant-types.ts';
import type { Problem } from './problems.ts';

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

// The subject of a token is an account id (a UUID), or for client_credentials the client id. A client id that
// looked like a UUID could be mistaken for an account.
const clientId = v.pipe(
  v.string(),
  v.regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 printable ASCII characters without spaces'),
  v.check((text) => !uuid.test(text), 'must not look like a UUID: account ids are UUIDs'),
  v.check((text) => text !== accountClientId, 'is reserved for the account page'),
);

const uris = v.pipe(v.array(nonEmpty(2048)), v.maxLength(64));

/** The length of 128 random bits in hexadecimal (RFC 6749 §10.10); characters. */
export const minClientSecretLength = 32;

export const shortClientSecret = `must have at least ${minClientSecretLength} characters; \`openssl rand -hex 32\` generates one`;

// The length of a secret in a file is checked when identity reads the file.
const clientSecret = v.pipe(
  secret,
  v.check(
    (one) => one.source !== 'configuration' || one.text().length >= minClientSecretLength,
    shortClientSecret,
  ),
);

/** OAuth 2.0 client metadata (RFC 7591 §2), as far as identity supports it. */
export const client = v.pipe(
  v.strictObject({
    client_id: clientId,
    client_name: v.optional(nonEmpty(128)),
    client_secret: v.optional(clientSecret),
    token_endpoint_auth_method: v.optional(
      v.picklist(['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt']),
      'client_secret_basic',
    ),
    application_type: v.optional(v.picklist(['web', 'native']), 'web'),
    grant_types: v.optional(
      v.pipe(v.array(v.picklist(grantTypes)), v.minLength(1), v.maxLength(grantTypes.length)),
      ['authorization_code'],
    ),
    redirect_uris: v.optional(uris, []),
    post_logout_redirect_uris: v.optional(uris, []),
    jwks_uri: v.optional(url(['https'])),
    jwks: v.optional(
      v.strictObject({ keys: v.pipe(v.array(v.record(v.string(), v.unknown())), v.maxLength(16)) }),
    ),
    default_max_age: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
    require_auth_time: v.optional(v.boolean()),
    resources: v.optional(
      v.pipe(v.array(nonEmpty(256), 'must be a list of resources; default: all'), v.maxLength(256)),
    ),
    default_resource: v.optional(nonEmpty(256)),
    backchannel_logout_uri: v.optional(url(['https', 'http'])),
    backchannel_logout_session_required: v.optional(v.boolean()),
    consent_required: v.optional(v.boolean()),
    may_introspect: v.optional(v.boolean()),
    admin_scopes: v.optional(
      v.pipe(v.array(v.picklist(adminScopes)), v.minLength(1), v.maxLength(adminScopes.length)),
    ),
  }),
  v.forward(
    v.check(
      ({ token_endpoint_auth_method: method, client_secret: shared }) =>
        (shared !== undefined) === method.startsWith('client_secret_'),
      'client_secret_basic and client_secret_post need `client_secret`; none and private_key_jwt exclude it',
    ),
    ['client_secret'],
  ),
  v.forward(
    v.check(
      ({ token_endpoint_auth_method: method, jwks, jwks_uri: uri }) =>
        (method === 'private_key_jwt') === (jwks !== undefined || uri !== undefined),
      'private_key_jwt needs `jwks` or `jwks_uri`, and only it',
    ),
    ['jwks'],
  ),
  v.forward(
    v.check(
      ({ grant_types: grants, redirect_uris: redirects }) =>
        grants.includes('authorization_code') === redirects.length > 0,
      'authorization_code needs at least one redirect URI, and only it',
    ),
    ['redirect_uris'],
  ),
  v.forward(
    v.check(
      ({ grant_types: grants, token_endpoint_auth_method: method }) =>
        !grants.includes('client_credentials') || method !== 'none',
      'client_credentials needs a client that authenticates',
    ),
    ['grant_types'],
  ),
  v.forward(
    v.check(
      ({ admin_scopes: scopes, grant_types: grants }) =>
        scopes === undefined || grants.includes('client_credentials'),
      'admin_scopes need the grant type client_credentials',
    ),
    ['admin_scopes'],
  ),
  v.forward(
    v.check(
      ({ consent_required: isAsked, grant_types: grants }) =>
        isAsked !== true || !grants.includes(loginGrantType),
      'the login grant shows no consent page: it is for first-party clients only',
    ),
    ['consent_required'],
  ),
  v.forward(
    v.check(
      ({ may_introspect: may, token_endpoint_auth_method: method }) => may !== true || method !== 'none',
      'may_introspect needs a client that authenticates',
    ),
    ['may_introspect'],
  ),
);

type Client = v.InferOutput<typeof client>;

/** Finds clients that name a resource which is not configured, or not theirs. */
export function clientResourceProblems(clients: readonly Client[], configured: readonly string[]): Problem[] {
  return clients.flatMap(({ resources, default_resource: own }, index): Problem[] => {
    const unknown = (resources ?? []).flatMap((name, at): Problem[] =>
      configured.includes(name)
        ? []
        : [{ path: ['clients', index, 'resources', at], message: 'must be one of `resources`' }],
    );
    if (own === undefined || (resources ?? configured).includes(own)) return unknown;
    const message =
      resources === undefined
        ? 'default_resource must be one of `resources`'
        : 'default_resource must be one of the client’s `resources`';
    return [...unknown, { path: ['clients', index, 'default_resource'], message }];
  });
}
