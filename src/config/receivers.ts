import * as v from 'valibot';
import { durationMs, nonEmpty, secret } from '../runtime/config-values.ts';
import { anyAlgorithms, asymmetricOnly, jwks } from './jwks.ts';
import { isHmac } from '../vocabulary/algorithms.ts';
import { presetNames } from '../vocabulary/preset-names.ts';
import { revocationKinds } from '../vocabulary/revocation-kinds.ts';
import type { Problem } from './problems.ts';

/** Another identity provider whose tokens this program revokes. */
export const foreignIssuer = v.strictObject({
  issuer: nonEmpty(2048),
  preset: v.optional(v.picklist(presetNames)),
  /** Default: the preset's, else `sid`. */
  sessionClaim: v.optional(nonEmpty(256)),
  maxTokenLifetime: v.optional(durationMs({ min: '1s', max: '1d' }), '5m'),
  algorithms: v.optional(asymmetricOnly),
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
  algorithms: v.optional(asymmetricOnly),
  jwks: v.optional(jwks),
  credentialChange: v.optional(v.boolean(), false),
  trustSessionIds: v.optional(v.boolean(), false),
});

const backchannelLogout = v.strictObject({
  kind: v.literal('backchannel-logout'),
  ...shared,
  issuer: nonEmpty(2048),
  audience,
  exp: v.optional(v.picklist(['required', 'optional']), 'required'),
  tokensHoldSid: v.optional(v.boolean()),
  algorithms: v.optional(asymmetricOnly),
  jwks: v.optional(jwks),
});

const fusionAuth = v.pipe(
  v.strictObject({
    kind: v.literal('fusionauth'),
    ...shared,
    issuer: nonEmpty(2048),
    tenant: v.optional(nonEmpty(256)),
    algorithms: v.optional(anyAlgorithms),
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
        key === undefined ? !names.some(isHmac) : names.every(isHmac),
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
    v.minLength(1, 'must contain one secret, or two during a rotation'),
    v.maxLength(2, 'must contain at most two secrets'),
  ),
  kinds: v.optional(
    v.pipe(v.array(v.picklist(revocationKinds)), v.minLength(1), v.maxLength(revocationKinds.length)),
    ['session', 'token', 'subject', 'client'],
  ),
});

/** An endpoint that receives events from an identity provider. */
export const receiver = v.variant(
  'kind',
  [setPush, backchannelLogout, fusionAuth, webhook],
  'kind must be set-push, backchannel-logout, fusionauth or webhook',
);

export const receivers = v.optional(
  v.pipe(v.array(receiver, 'must be a list of receivers'), v.maxLength(64)),
  [],
);

type ForeignIssuer = v.InferOutput<typeof foreignIssuer>;
type Receiver = v.InferOutput<typeof receiver>;

/**
 * Finds receivers that don't fit the configured issuers, and duplicates.
 * @param key where the issuers are configured
 */
export function receiverProblems(
  key: 'issuers' | 'foreignIssuers',
  issuers: readonly ForeignIssuer[],
  all: readonly Receiver[],
): Problem[] {
  const names = issuers.map(({ issuer }) => issuer);
  const paths = all.map(({ path: one }) => one);
  return [
    ...repeated(names).map((index): Problem => ({
      path: [key, index, 'issuer'],
      message: 'each issuer may appear once',
    })),
    ...repeated(paths).map((index): Problem => ({
      path: ['receivers', index, 'path'],
      message: 'each path may appear once',
    })),
    ...all.flatMap((one, index): Problem[] => {
      if (![one.issuer].flat().every((name) => names.includes(name)))
        return [
          {
            path: ['receivers', index, 'issuer'],
            message: `each receiver's issuer must be one of \`${key}\`, byte for byte`,
          },
        ];
      if (one.kind === 'webhook' || hasKeys(one, issuers)) return [];
      return [{ path: ['receivers', index, 'jwks'], message: noKeys }];
    }),
  ];
}

const noKeys = 'discovery needs a sender that is a URL; otherwise give `jwks: { uri }` or `jwks: { file }`';

/** The indexes of values that occur earlier in the list. */
const repeated = (all: readonly string[]): number[] =>
  all.flatMap((one, index) => (all.indexOf(one) < index ? [index] : []));

/** Whether a receiver can get keys: from its own `jwks`, from that of its issuer, or by discovery. */
function hasKeys(one: Exclude<Receiver, { kind: 'webhook' }>, issuers: readonly ForeignIssuer[]): boolean {
  if ('secret' in one && one.secret !== undefined) return true;
  const sender = ('sender' in one ? one.sender : undefined) ?? one.issuer;
  const keys =
    one.jwks ??
    (sender === one.issuer ? issuers.find((known) => known.issuer === one.issuer)?.jwks : undefined);
  if (keys !== undefined && ('file' in keys || keys.uri !== undefined)) return true;
  return /^https?:\/\//.test(sender);
}
