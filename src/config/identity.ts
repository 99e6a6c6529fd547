import * as v from 'valibot';
import { address, durationMs, nonEmpty, tcpAddress, url } from '../runtime/config-values.ts';
import { adminAudience } from '../vocabulary/admin-scopes.ts';
import { signingAlgorithms } from '../vocabulary/algorithms.ts';
import { database } from './database.ts';
import { client, clientResourceProblems } from './identity-client.ts';
import { identityReceiverProblems } from './identity-receivers.ts';
import { log } from './log.ts';
import { ownedLog, trustedProxyHops } from './log-owner.ts';
import { problemsIn } from './problems.ts';
import { foreignIssuer, receivers } from './receivers.ts';
import { redisSchema } from './redis.ts';

// RFC 6749 §3.3: scope-token.
const scopeName = v.pipe(
  v.string(),
  v.regex(
    /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/,
    'must be printable ASCII without spaces, quotes or backslashes',
  ),
);

const tokensSchema = v.pipe(
  v.strictObject({
    algorithm: v.optional(v.picklist([...signingAlgorithms, 'HS256']), 'RS256'),
    lifetime: v.optional(durationMs({ min: '10s', max: '1h' }), '60s'),
    refreshLifetime: v.optional(durationMs({ min: '5m', max: '365d' }), '14d'),
    refreshGrace: v.optional(durationMs({ max: '5m' }), '30s'),
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
  v.check((text) => URL.parse(text)?.username === '', 'must not contain credentials'),
  v.check((text) => !text.endsWith('/'), 'must not end in a slash: it is compared byte for byte'),
);

/** A domain name in the form that browsers compare: lower case, punycode. */
const domainName = v.pipe(
  v.string(),
  v.regex(
    /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
    'must be a domain name in lower case, without scheme and port',
  ),
);

/** WebAuthn Level 3 §5.1.2: the host itself or a parent domain, but no top-level domain. */
function isDomainOf(issuerUrl: string, domain: string): boolean {
  const host = URL.parse(issuerUrl)?.hostname;
  return host === domain || (domain.includes('.') && host?.endsWith(`.${domain}`) === true);
}

const hasDuplicates = (names: readonly string[]): boolean => new Set(names).size !== names.length;

/** Configuration of the identity deployment; see `docs/identity.md`. */
export const identitySchema = v.pipe(
  v.strictObject({
    issuer,
    listen: v.optional(address, ':8080'),
    admin: v.optional(tcpAddress, '127.0.0.1:9012'),
    drain: v.optional(durationMs({ max: '10m' }), '10s'),
    trustedProxyHops: v.optional(trustedProxyHops, 0),
    database: v.optional(database, { sqlite: './identity.db' }),
    redis: redisSchema,
    revocation: ownedLog,
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
      v.check(
        (all) => !Object.hasOwn(all, adminAudience),
        `${adminAudience} is reserved for the administration API`,
      ),
      v.check((all) => Object.keys(all).length <= 256, 'must be at most 256 resources'),
    ),
    foreignIssuers: v.optional(
      v.pipe(v.array(foreignIssuer, 'must be a list of issuers'), v.maxLength(64)),
      [],
    ),
    receivers,
    limits: v.optional(
      v.strictObject({
        passkeysPerAccount: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(50)), 10),
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
    accounts: v.optional(
      v.strictObject({
        passkeys: v.optional(
          v.strictObject({ enabled: v.optional(v.boolean(), true), rpId: v.optional(domainName) }),
          {},
        ),
      }),
      {},
    ),
    log,
  }),
  v.forward(
    v.check(
      ({ issuer: url, accounts }) =>
        accounts.passkeys.rpId === undefined || isDomainOf(url, accounts.passkeys.rpId),
      'passkeys.rpId must be the issuer’s host or a parent domain',
    ),
    ['accounts'],
  ),
  v.forward(
    v.check(
      ({ clients }) => !hasDuplicates(clients.map((one) => one.client_id)),
      'each client_id may appear once',
    ),
    ['clients'],
  ),
  problemsIn(({ clients, resources }) => clientResourceProblems(clients, Object.keys(resources))),
  problemsIn((config) => identityReceiverProblems(config)),
);

export type IdentityConfig = v.InferOutput<typeof identitySchema>;
export type ClientConfig = IdentityConfig['clients'][number];
