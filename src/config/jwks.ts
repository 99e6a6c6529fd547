import * as v from 'valibot';
import { algorithmNames, asymmetricAlgorithms } from '../vocabulary/algorithms.ts';
import { durationMs, nonEmpty, sizeBytes, url } from '../runtime/config-values.ts';

/** Where an issuer's keys come from. Default: discovery. Durations in ms, sizes in bytes. */
export const jwks = v.union(
  [
    v.strictObject({ file: nonEmpty() }),
    v.strictObject({
      uri: v.optional(url(['https', 'http'])),
      refresh: v.optional(durationMs({ min: '5s', max: '1d' }), '5m'),
      cooldown: v.optional(durationMs({ min: '1s', max: '1h' }), '10s'),
      timeout: v.optional(durationMs({ min: '100ms', max: '30s' }), '5s'),
      maxBytes: v.optional(sizeBytes({ min: 1024, max: 4 * 1024 * 1024 }), '256k'),
      maxStale: v.optional(durationMs({ min: '1m', max: '30d' }), '24h'),
      allowHttp: v.optional(v.boolean(), false),
      ca: v.optional(nonEmpty()),
    }),
  ],
  'must be { file: PATH } or { uri: URL, refresh, cooldown, timeout, maxBytes, maxStale, allowHttp, ca }',
);

/** The algorithms that an issuer's or a sender's keys may have; HMAC where it may have a shared secret. */
export const anyAlgorithms = v.pipe(v.array(v.picklist(algorithmNames)), v.minLength(1), v.maxLength(16));
export const asymmetricOnly = v.pipe(
  v.array(v.picklist(asymmetricAlgorithms)),
  v.minLength(1),
  v.maxLength(16),
);
