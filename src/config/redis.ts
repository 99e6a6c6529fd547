import * as v from 'valibot';
import { nonEmpty, secret, url } from '../runtime/config-values.ts';

const common = {
  username: v.optional(nonEmpty(256)),
  password: v.optional(secret),
  tls: v.optional(
    v.strictObject({
      ca: v.optional(nonEmpty()),
      cert: v.optional(nonEmpty()),
      key: v.optional(nonEmpty()),
      serverName: v.optional(nonEmpty(253)),
    }),
  ),
};

const sentinel = v.strictObject({
  host: nonEmpty(253),
  port: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)), 26_379),
});

/** A Redis server by URL, or a group of servers that sentinels monitor. */
export const redisSchema = v.union(
  [
    v.strictObject({ url: url(['redis', 'rediss']), ...common }),
    v.strictObject({
      sentinels: v.pipe(v.array(sentinel), v.minLength(1), v.maxLength(16)),
      name: nonEmpty(128),
      sentinelPassword: v.optional(secret),
      ...common,
    }),
  ],
  'must be { url: redis://… } or { sentinels: [{ host, port }], name: … }, with optional username, password, tls',
);

export type RedisConfig = v.InferOutput<typeof redisSchema>;

// The name becomes a hash tag in Redis keys. Braces and glob characters would change which keys an ACL
// pattern matches.
export const logName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9._:-]{1,64}$/, 'must be 1 to 64 letters, digits, dots, colons, hyphens or underscores'),
);
