import * as v from 'valibot';
import { revocationKinds } from '../../vocabulary/revocation-kinds.ts';

/*
 * The messages of the administration API. Requests are validated with these schemas, and the OpenAPI document
 * is generated from them.
 */

const dateTime = v.pipe(v.string(), v.isoTimestamp(), v.maxLength(32));
const id = v.pipe(v.string(), v.minLength(1), v.maxLength(256));

const count = (min: number, max: number) =>
  v.pipe(
    v.string(),
    v.regex(/^\d{1,15}$/, 'must be a whole number'),
    v.transform(Number),
    v.minValue(min),
    v.maxValue(max),
  );

export const sessionsQuery = v.strictObject({
  user: v.optional(id),
  subject: v.optional(id),
  client: v.optional(id),
  limit: v.optional(count(1, 200), '50'),
  offset: v.optional(count(0, 1_000_000), '0'),
});

const session = v.strictObject({
  id,
  subject: v.string(),
  username: v.string(),
  client: v.string(),
  device: v.string(),
  address: v.string(),
  createdAt: dateTime,
  lastUsedAt: dateTime,
  expiresAt: dateTime,
});

export const sessionsAnswer = v.strictObject({
  sessions: v.array(session),
  /** The offset of the next page; absent on the last page. */
  next: v.optional(v.number()),
});

/** The kinds of the revocation log, with `everything` in place of `issuer`: the API serves one issuer. */
const kinds = [...revocationKinds.filter((kind) => kind !== 'issuer'), 'everything'] as const;

export const revocationBody = v.pipe(
  v.strictObject({
    kind: v.picklist(kinds),
    /** Absent for `everything`. */
    id: v.optional(id),
    issuedBefore: v.optional(dateTime),
    reason: v.optional(v.pipe(v.string(), v.regex(/^[a-z0-9_-]{1,64}$/))),
  }),
  v.check(
    ({ kind, id: given }) => (kind === 'everything') === (given === undefined),
    '`id` is required, except for `everything`, which has none',
  ),
  v.check(
    ({ kind, issuedBefore }) =>
      issuedBefore === undefined || kind === 'subject' || kind === 'client' || kind === 'everything',
    '`issuedBefore` is for subject, client and everything',
  ),
);

export const revocationAnswer = v.strictObject({
  log: v.string(),
  /** Its sequence number in the log; absent until it is published. */
  seq: v.optional(v.number()),
  published: v.boolean(),
  sessionsEnded: v.number(),
});

export const keysAnswer = v.strictObject({
  keys: v.array(
    v.strictObject({
      id,
      algorithm: v.string(),
      state: v.picklist(['signing', 'next', 'former']),
      createdAt: dateTime,
      encrypted: v.boolean(),
    }),
  ),
});

export const newKeyAnswer = v.strictObject({ id });

export const auditQuery = v.strictObject({
  /** Actions by this account, or on it and its sessions. */
  user: v.optional(id),
  client: v.optional(id),
  since: v.optional(dateTime),
  before: v.optional(count(1, Number.MAX_SAFE_INTEGER)),
  limit: v.optional(count(1, 200), '50'),
});

export const auditAnswer = v.strictObject({
  entries: v.array(
    v.strictObject({
      id: v.number(),
      at: dateTime,
      actor: v.strictObject({
        kind: v.picklist(['operator', 'client', 'person', 'system']),
        id: v.string(),
        address: v.string(),
      }),
      action: v.string(),
      target: v.string(),
      details: v.objectWithRest(
        {
          sessions: v.optional(v.number()),
          reason: v.optional(v.string()),
          issuedBefore: v.optional(v.string()),
          subject: v.optional(v.string()),
          client: v.optional(v.string()),
        },
        v.union([v.string(), v.number()]),
      ),
    }),
  ),
  /** `before` of the next page; absent on the last page. */
  next: v.optional(v.number()),
});

/** RFC 9457. */
export const problem = v.strictObject({
  type: v.string(),
  title: v.string(),
  status: v.number(),
  detail: v.optional(v.string()),
});
