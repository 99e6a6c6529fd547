import * as v from 'valibot';
import { address, durationMs, nonEmpty, sizeBytes, tcpAddress, url } from '../runtime/config-values.ts';
import { anyAlgorithms, jwks } from './jwks.ts';
import { logLevel } from './log.ts';
import { isHmac } from '../vocabulary/algorithms.ts';
import { presetNames } from '../vocabulary/preset-names.ts';
import { logName, redisSchema } from './redis.ts';

/** The spelling of the engine `native` in Curfew 0.1. */
export const deprecatedEngine = 'lean';

const issuerSecret = v.strictObject({
  file: nonEmpty(),
  encoding: v.optional(v.picklist(['base64url', 'raw']), 'base64url'),
  kid: nonEmpty(128),
});

const issuerSchema = v.pipe(
  v.strictObject({
    issuer: nonEmpty(2048),
    preset: v.optional(v.picklist(presetNames)),
    audiences: v.union(
      [
        v.literal('any'),
        v.pipe(
          v.array(nonEmpty()),
          v.minLength(1, 'must name at least one audience, or be `any`'),
          v.maxLength(64),
        ),
      ],
      'must be a list of audiences, or `any`',
    ),
    algorithms: v.optional(anyAlgorithms),
    jwks: v.optional(jwks),
    secret: v.optional(issuerSecret),
    types: v.optional(v.pipe(v.array(nonEmpty(64)), v.minLength(1), v.maxLength(16))),
    sessionClaim: v.optional(nonEmpty(256)),
    sessionExempt: v.optional(v.strictObject({ claim: nonEmpty(256), value: nonEmpty() })),
    maxTokenLifetime: v.optional(durationMs({ min: '1s', max: '1d' }), '5m'),
    clockTolerance: v.optional(durationMs({ min: '0s', max: '1m' }), '5s'),
    revocation: v.optional(v.picklist(['required', 'none']), 'required'),
  }),
  v.forward(
    v.check(
      ({ algorithms, secret: shared }) => (shared !== undefined) === (algorithms ?? []).some(isHmac),
      'an HS* algorithm needs `secret`, and `secret` needs an HS* algorithm',
    ),
    ['algorithms'],
  ),
  v.forward(
    v.check(
      ({ algorithms, secret: shared }) => shared === undefined || (algorithms ?? []).every(isHmac),
      'HS* algorithms cannot be mixed with others',
    ),
    ['algorithms'],
  ),
  v.forward(
    v.check(
      ({ jwks: keys, secret: shared }) => keys === undefined || shared === undefined,
      '`secret` excludes `jwks`',
    ),
    ['jwks'],
  ),
  v.forward(
    v.check(
      ({ issuer, jwks: keys, secret: shared }) =>
        shared !== undefined ||
        (keys !== undefined && ('file' in keys || keys.uri !== undefined)) ||
        /^https?:\/\//.test(issuer),
      'discovery needs an issuer that is a URL; otherwise give `jwks: { uri }` or `jwks: { file }`',
    ),
    ['jwks'],
  ),
);

const revocationSchema = v.strictObject({
  redis: redisSchema,
  log: v.optional(logName, 'curfew'),
  maxExposure: v.optional(durationMs({ min: '10s', max: '1d' }), '30s'),
  maxEntries: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1000), v.maxValue(5_000_000)), 200_000),
  waitForSync: v.optional(
    v.union([
      v.pipe(
        v.literal('forever'),
        v.transform(() => Infinity),
      ),
      durationMs({ max: '1h' }),
    ]),
    '30s',
  ),
});

// RFC 9110 §5.6.2: token.
const headerName = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9!#$%&'*+.^_`|~-]{1,128}$/, 'must be a header name in lower case'),
);
const cookieName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/, 'must be a cookie name'),
);

const upstreamSchema = v.pipe(
  v.strictObject({
    prefix: v.optional(
      v.pipe(headerName, v.minLength(3), v.endsWith('-', 'must end in a hyphen')),
      'x-auth-',
    ),
    headers: v.optional(v.record(headerName, nonEmpty(256)), {
      'x-auth-subject': 'sub',
      'x-auth-session': 'grant_id',
      'x-auth-issuer': 'iss',
      'x-auth-scopes': 'scope',
    }),
    forwardAuthorization: v.optional(v.boolean(), true),
    metadata: v.optional(v.boolean(), true),
  }),
  v.forward(
    v.check(
      ({ prefix, headers }) => Object.keys(headers).every((name) => name.startsWith(prefix)),
      'every name must start with `upstream.prefix`; otherwise a client could set the header itself',
    ),
    ['headers'],
  ),
  v.forward(
    v.check(({ headers }) => Object.keys(headers).length <= 32, 'must be at most 32 headers'),
    ['headers'],
  ),
);

/** Configuration of the authorizer; see `docs/configuration.md`. */
export const authorizerSchema = v.pipe(
  v.strictObject({
    listen: v.optional(address, '127.0.0.1:9001'),
    tls: v.optional(v.strictObject({ cert: nonEmpty(), key: nonEmpty(), clientCa: v.optional(nonEmpty()) })),
    engine: v.optional(v.picklist(['auto', 'native', 'grpc-js', deprecatedEngine]), 'auto'),
    admin: v.optional(tcpAddress, '127.0.0.1:9002'),
    drainDelay: v.optional(durationMs({ max: '10m' })),
    drain: v.optional(durationMs({ max: '10m' }), '10s'),
    issuers: v.pipe(
      v.array(issuerSchema, 'must be a list of issuers'),
      v.minLength(1, 'must name at least one issuer'),
      v.maxLength(64),
    ),
    revocation: v.optional(revocationSchema),
    token: v.optional(
      v.strictObject({
        sources: v.optional(
          v.pipe(
            v.array(
              v.union(
                [v.strictObject({ header: headerName }), v.strictObject({ cookie: cookieName })],
                'must be { header: NAME } or { cookie: NAME }',
              ),
            ),
            v.minLength(1),
            v.maxLength(8),
          ),
          [{ header: 'authorization' }],
        ),
        maxBytes: v.optional(sizeBytes({ min: 256, max: 64 * 1024 }), 8192),
      }),
      {},
    ),
    upstream: v.optional(upstreamSchema, {}),
    denied: v.optional(
      v.strictObject({
        detail: v.optional(v.picklist(['minimal', 'full']), 'minimal'),
        realm: v.optional(
          v.pipe(
            v.string(),
            v.regex(
              /^[\x20\x21\x23-\x5b\x5d-\x7e]{1,128}$/,
              'must be printable ASCII without quotes or backslashes',
            ),
          ),
        ),
        corsOrigins: v.optional(v.pipe(v.array(nonEmpty(256)), v.maxLength(64)), []),
        loginRedirect: v.optional(
          v.strictObject({ url: url(['https', 'http']), returnParameter: v.optional(nonEmpty(64)) }),
        ),
      }),
      {},
    ),
    log: v.optional(
      v.strictObject({
        level: logLevel,
        decisions: v.optional(v.picklist(['none', 'denied', 'all']), 'denied'),
      }),
      {},
    ),
    mode: v.optional(v.picklist(['enforce', 'shadow']), 'enforce'),
  }),
  v.forward(
    v.check(
      ({ issuers }) => new Set(issuers.map(({ issuer }) => issuer)).size === issuers.length,
      'each issuer may appear once',
    ),
    ['issuers'],
  ),
  v.forward(
    v.check(
      ({ listen, tls }) => tls === undefined || listen.kind === 'tcp',
      '`tls` is for a TCP address; a Unix socket has file permissions',
    ),
    ['tls'],
  ),
);

export type AuthorizerConfig = v.InferOutput<typeof authorizerSchema>;
export type IssuerConfig = AuthorizerConfig['issuers'][number];
