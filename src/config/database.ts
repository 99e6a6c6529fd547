import * as v from 'valibot';
import { nonEmpty, secret } from '../runtime/config-values.ts';

/** The database of a program that owns a revocation log. */
export const database = v.union(
  [
    v.strictObject({ sqlite: nonEmpty() }),
    v.strictObject({
      postgres: v.strictObject({
        url: secret,
        poolSize: v.optional(v.pipe(v.number(), v.integer(), v.minValue(2), v.maxValue(200)), 10),
      }),
    }),
  ],
  'must be { sqlite: PATH } or { postgres: { url: postgres://…, poolSize: 10 } }',
);
