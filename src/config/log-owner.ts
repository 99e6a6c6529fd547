import * as v from 'valibot';
import { durationMs } from '../runtime/config-values.ts';
import { logName } from './redis.ts';

/** `revocation` of a program that owns a revocation log. */
export const ownedLog = v.optional(
  v.strictObject({
    log: v.optional(logName, 'curfew'),
    clockTolerance: v.optional(durationMs({ min: '0s', max: '1m' }), '5s'),
  }),
  {},
);

/** How many reverse proxies in front of this program append to `X-Forwarded-For`. */
export const trustedProxyHops = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(8));
