import * as v from 'valibot';
import { address, durationMs, nonEmpty, secret, tcpAddress, url } from '../runtime/config-values.ts';
import { database } from './database.ts';
import { logName, redisSchema } from './redis.ts';

/** The grant type of first-party command lines and apps: user name and password for tokens. */
const loginGrantType = 'urn:curfew:grant-type:login';
/** RFC 8628: for command lines and devices without a browser. */
const deviceGrantType = 'urn:ietf:params:oauth:grant-type:device_code';

const grantTypes = [
  'authorization_code',
  'refresh_token',
  'client_credentials',
  loginGrantType,
  deviceGrantType,
] as const;

/** Of the administration API. */
const adminScopes = [
  'sessions:read',
  'sessions:revoke',
  'everything:revoke',
  'keys:read',
  'keys:manage',
  'audit:read',
] as const;

const adminAudience = 'urn:curfew:admin';
const accountClientId = 'curfew-account';

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

// An account id is a UUID, and a client's own tokens name the client as their subject: the two may not be mistaken.
const clientId = v.pipe(
  v.string(),
  v.regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 printable ASCII characters without spaces'),
  v.check((text) => !uuid.test(text), 'may not look like a UUID: those name accounts'),
  v.check((text) => text !== accountClientId, 'is taken by the pages of one’s own sessions'),
);

const uris = v.pipe(v.array(nonEmpty(2048)), v.maxLength(64));

// RFC 6749 §3.3: scope-token.
const scopeName = v.pipe(
  v.string(),
  v.regex(
    /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/,
    'must be printable ASCII without spaces, quotes or backslashes',
  ),
);

/** OAuth 2.0 client metadata (RFC 7591 §2), the part that is served here. */
const client = v.pipe(
  v.strictObject({
    client_id: clientId,
    client_name: v.optional(nonEmpty(128)),
    client_secret: v.optional(secret),
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
    default_resource: v.optional(nonEmpty(256)),
    backchannel_logout_uri: v.optional(url(['https', 'http'])),
    backchannel_logout_session_required: v.optional(v.boolean()),
    consent_required: v.optional(v.boolean()),
    may_introspect: v.optional(v.boolean()),
    admin_scopes: v.optional(v.pipe(v.array(v.picklist(adminScopes)), v.minLength(1), v.maxLength(6))),
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
      'admin_scopes are of a client’s own tokens: the grant type client_credentials',
    ),
    ['admin_scopes'],
  ),
  v.forward(
    v.check(
      ({ may_introspect: may, token_endpoint_auth_method: method }) => may !== true || method !== 'none',
      'may_introspect needs a client that authenticates',
    ),
    ['may_introspect'],
  ),
);

const tokensSchema = v.pipe(
  v.strictObject({
    algorithm: v.optional(v.picklist(['RS256', 'ES256', 'EdDSA', 'HS256']), 'RS256'),
    lifetime: v.optional(durationMs({ min: '10s', max: '1h' }), '60s'),
    refreshLifetime: v.optional(durationMs({ min: '5m', max: '365d' }), '14d'),
    secret: v.optional(
      v.strictObject({
        file: nonEmpty(),
        encoding: v.optional(v.picklist(['base64url', 'raw']), 'base64url'),
        kid: nonEmpty(128),
      }),
    ),
  }),
  v.forward(
    v.check(
      ({ algorithm, secret: shared }) => (algorithm === 'HS256') === (shared !== undefined),
      'HS256 needs `secret: { file, kid }`, and only HS256',
    ),
    ['secret'],
  ),
  v.forward(
    v.check(({ lifetime }) => lifetime % 1000 === 0, 'must be whole seconds'),
    ['lifetime'],
  ),
);

const issuer = v.pipe(
  url(['https', 'http']),
  v.check((text) => {
    const parsed = URL.parse(text);
    return parsed === null || (parsed.search === '' && parsed.hash === '' && !/[?#]/.test(text));
  }, 'must have neither query nor fragment'),
  v.check((text) => URL.parse(text)?.username === '', 'must not hold credentials'),
  v.check((text) => !text.endsWith('/'), 'must not end in a slash: it is compared byte for byte'),
);

const duplicates = (names: readonly string[]): boolean => new Set(names).size !== names.length;

/** Configuration of the identity deployment; see `docs/identity.md`. */
export const identitySchema = v.pipe(
  v.strictObject({
    issuer,
    listen: v.optional(address, ':8080'),
    admin: v.optional(tcpAddress, '127.0.0.1:9012'),
    drain: v.optional(durationMs({ max: '10m' }), '10s'),
    trustedProxyHops: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(8)), 0),
    database: v.optional(database, { sqlite: './identity.db' }),
    redis: redisSchema,
    revocation: v.optional(
      v.strictObject({
        log: v.optional(logName, 'curfew'),
        clockTolerance: v.optional(durationMs({ min: '0s', max: '1m' }), '5s'),
      }),
      {},
    ),
    tokens: v.optional(tokensSchema, {}),
    clients: v.pipe(
      v.array(client, 'must be a list of clients'),
      v.minLength(1, 'must name at least one client'),
      v.maxLength(1000),
    ),
    resources: v.pipe(
      v.record(
        nonEmpty(256),
        v.strictObject({ scopes: v.optional(v.pipe(v.array(scopeName), v.maxLength(256)), []) }),
      ),
      v.check(
        (all) => Object.keys(all).length > 0,
        'must name at least one resource, the audience of tokens',
      ),
      v.check((all) => !Object.hasOwn(all, adminAudience), `${adminAudience} is there already`),
      v.check((all) => Object.keys(all).length <= 256, 'must be at most 256 resources'),
    ),
    limits: v.optional(
      v.strictObject({
        sessionsPerAccount: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1000)), 100),
      }),
      {},
    ),
    keys: v.optional(
      v.strictObject({
        rotateEvery: v.optional(durationMs({ min: '1h', max: '3650d' }), '30d'),
        encryptionKey: v.optional(v.strictObject({ file: nonEmpty() })),
      }),
      {},
    ),
    log: v.optional(
      v.strictObject({ level: v.optional(v.picklist(['debug', 'info', 'warn', 'error']), 'info') }),
      {},
    ),
  }),
  v.forward(
    v.check(
      ({ clients }) => !duplicates(clients.map((one) => one.client_id)),
      'each client_id may appear once',
    ),
    ['clients'],
  ),
  v.forward(
    v.check(
      ({ clients, resources }) =>
        clients.every(({ default_resource: name }) => name === undefined || Object.hasOwn(resources, name)),
      'default_resource must be one of `resources`',
    ),
    ['clients'],
  ),
);

export type IdentityConfig = v.InferOutput<typeof identitySchema>;
export type ClientConfig = IdentityConfig['clients'][number];
