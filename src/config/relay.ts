import * as v from 'valibot';
import { address, durationMs, nonEmpty, secret, tcpAddress } from '../runtime/config-values.ts';
import { asymmetricAlgorithms, hmacAlgorithms } from './authorizer.ts';
import { database } from './database.ts';
import { jwks } from './jwks.ts';
import { logName, redisSchema } from './redis.ts';

const algorithms = v.pipe(v.array(v.picklist(asymmetricAlgorithms)), v.minLength(1), v.maxLength(16));

const issuer = v.strictObject({
  issuer: nonEmpty(2048),
  preset: v.optional(v.picklist(['keycloak', 'auth0', 'okta', 'entra', 'cognito'])),
  /** Default: the preset's, else `sid`. */
  sessionClaim: v.optional(nonEmpty(256)),
  maxTokenLifetime: v.optional(durationMs({ min: '1s', max: '1d' }), '5m'),
  algorithms: v.optional(algorithms),
  jwks: v.optional(jwks),
});

const path = v.pipe(
  v.string('must be a path'),
  v.regex(/^\/[A-Za-z0-9/._~-]{0,255}$/, 'must be a path such as /events: letters, digits and / . _ ~ -'),
);

const shared = {
  path,
  authorization: v.optional(secret),
  redelivery: v.optional(durationMs({ max: '30d' }), '0s'),
};

const audience = v.pipe(
  v.union([nonEmpty(), v.array(nonEmpty())], 'must be an audience, or a list of them'),
  v.transform((one) => (typeof one === 'string' ? [one] : one)),
  v.minLength(1, 'must name at least one audience'),
  v.maxLength(64),
);

const setPush = v.strictObject({
  kind: v.literal('set-push'),
  ...shared,
  issuer: nonEmpty(2048),
  sender: v.optional(nonEmpty(2048)),
  audience,
  algorithms: v.optional(algorithms),
  jwks: v.optional(jwks),
  credentialChange: v.optional(v.boolean(), false),
  trustSessionIds: v.optional(v.boolean(), false),
});

const backchannelLogout = v.strictObject({
  kind: v.literal('backchannel-logout'),
  ...shared,
  issuer: nonEmpty(2048),
  audience,
  tokensHoldSid: v.optional(v.boolean()),
  algorithms: v.optional(algorithms),
  jwks: v.optional(jwks),
});

const fusionAuth = v.pipe(
  v.strictObject({
    kind: v.literal('fusionauth'),
    ...shared,
    issuer: nonEmpty(2048),
    tenant: v.optional(nonEmpty(256)),
    algorithms: v.optional(
      v.pipe(
        v.array(v.picklist([...asymmetricAlgorithms, ...hmacAlgorithms])),
        v.minLength(1),
        v.maxLength(16),
      ),
    ),
    jwks: v.optional(jwks),
    secret: v.optional(
      v.strictObject({
        file: nonEmpty(),
        encoding: v.optional(v.picklist(['base64url', 'raw']), 'raw'),
        kid: v.optional(nonEmpty(128), 'fusionauth'),
      }),
    ),
  }),
  v.forward(
    v.check(
      ({ algorithms: names = [], secret: key }) =>
        key === undefined
          ? !names.some((name) => name.startsWith('HS'))
          : names.every((name) => name.startsWith('HS')),
      'HS* algorithms need `secret`, and `secret` excludes others',
    ),
    ['algorithms'],
  ),
  v.forward(
    v.check(
      ({ jwks: keys, secret: key }) => keys === undefined || key === undefined,
      '`secret` excludes `jwks`',
    ),
    ['jwks'],
  ),
);

const webhook = v.strictObject({
  kind: v.literal('webhook'),
  ...shared,
  issuer: v.pipe(
    v.union([nonEmpty(2048), v.array(nonEmpty(2048))], 'must be an issuer, or a list of them'),
    v.transform((one) => (typeof one === 'string' ? [one] : one)),
    v.minLength(1, 'must name at least one issuer'),
    v.maxLength(64),
  ),
  secrets: v.pipe(
    v.array(secret, 'must be a list of secrets'),
    v.minLength(1, 'must hold one secret, or two while one replaces the other'),
    v.maxLength(2, 'must hold at most two secrets'),
  ),
  kinds: v.optional(
    v.pipe(
      v.array(v.picklist(['session', 'token', 'subject', 'client', 'issuer', 'key'])),
      v.minLength(1),
      v.maxLength(6),
    ),
    ['session', 'token', 'subject', 'client'],
  ),
});

const receiver = v.variant(
  'kind',
  [setPush, backchannelLogout, fusionAuth, webhook],
  'kind must be set-push, backchannel-logout, fusionauth or webhook',
);

const areDistinct = (names: readonly string[]): boolean => new Set(names).size === names.length;

const issuersOf = ({ issuer: one }: { issuer: string | readonly string[] }): readonly string[] =>
  typeof one === 'string' ? [one] : one;

/** Configuration of the relay; see `docs/relay.md`. */
export const relaySchema = v.pipe(
  v.strictObject({
    listen: v.optional(address, ':8081'),
    admin: v.optional(tcpAddress, '127.0.0.1:9012'),
    drain: v.optional(durationMs({ max: '10m' }), '10s'),
    trustedProxyHops: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(8)), 0),
    database: v.optional(database, { sqlite: './relay.db' }),
    redis: redisSchema,
    revocation: v.optional(
      v.strictObject({
        log: v.optional(logName, 'curfew'),
        clockTolerance: v.optional(durationMs({ min: '0s', max: '1m' }), '5s'),
      }),
      {},
    ),
    issuers: v.pipe(
      v.array(issuer, 'must be a list of issuers'),
      v.minLength(1, 'must name at least one issuer'),
      v.maxLength(64),
    ),
    receivers: v.optional(v.pipe(v.array(receiver, 'must be a list of receivers'), v.maxLength(64)), []),
    log: v.optional(
      v.strictObject({ level: v.optional(v.picklist(['debug', 'info', 'warn', 'error']), 'info') }),
      {},
    ),
  }),
  v.forward(
    v.check(({ issuers }) => areDistinct(issuers.map((one) => one.issuer)), 'each issuer may appear once'),
    ['issuers'],
  ),
  v.forward(
    v.check(({ receivers }) => areDistinct(receivers.map((one) => one.path)), 'each path may appear once'),
    ['receivers'],
  ),
  v.forward(
    v.check(
      ({ issuers, receivers }) =>
        receivers.every((one) =>
          issuersOf(one).every((name) => issuers.some((known) => known.issuer === name)),
        ),
      "each receiver's issuer must be one of `issuers`, byte for byte",
    ),
    ['receivers'],
  ),
  v.forward(
    v.check(
      ({ issuers, receivers }) =>
        receivers.every(
          (one) =>
            one.kind === 'webhook' || ('secret' in one && one.secret !== undefined) || hasKeys(one, issuers),
        ),
      'keys are found by discovery from the sender: where that is no URL, give `jwks: { uri }` or `jwks: { file }`',
    ),
    ['receivers'],
  ),
);

type Keyed = { readonly issuer: string; readonly jwks?: v.InferOutput<typeof jwks> | undefined };

/** Whether a receiver's keys have a place to come from: its own, its issuer's, or discovery. */
function hasKeys(one: Keyed & { readonly sender?: string | undefined }, issuers: readonly Keyed[]): boolean {
  const isForeign = one.sender !== undefined && one.sender !== one.issuer;
  const keys =
    one.jwks ?? (isForeign ? undefined : issuers.find((known) => known.issuer === one.issuer)?.jwks);
  if (keys !== undefined && ('file' in keys || keys.uri !== undefined)) return true;
  return /^https?:\/\//.test(one.sender ?? one.issuer);
}

export type RelayConfig = v.InferOutput<typeof relaySchema>;
export type RelayIssuerConfig = RelayConfig['issuers'][number];
export type ReceiverConfig = RelayConfig['receivers'][number];
