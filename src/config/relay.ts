import * as v from 'valibot';
import { address, durationMs, tcpAddress } from '../runtime/config-values.ts';
import { database } from './database.ts';
import { log } from './log.ts';
import { ownedLog, trustedProxyHops } from './log-owner.ts';
import { problemsIn } from './problems.ts';
import { foreignIssuer, receiverProblems, receivers } from './receivers.ts';
import { redisSchema } from './redis.ts';

/** Configuration of the relay; see `docs/relay.md`. */
export const relaySchema = v.pipe(
  v.strictObject({
    listen: v.optional(address, ':8081'),
    admin: v.optional(tcpAddress, '127.0.0.1:9012'),
    drain: v.optional(durationMs({ max: '10m' }), '10s'),
    trustedProxyHops: v.optional(trustedProxyHops, 0),
    database: v.optional(database, { sqlite: './relay.db' }),
    redis: redisSchema,
    revocation: ownedLog,
    issuers: v.pipe(
      v.array(foreignIssuer, 'must be a list of issuers'),
      v.minLength(1, 'must name at least one issuer'),
      v.maxLength(64),
    ),
    receivers,
    log,
  }),
  problemsIn(({ issuers, receivers: all }) => receiverProblems('issuers', issuers, all)),
);

export type RelayConfig = v.InferOutput<typeof relaySchema>;
