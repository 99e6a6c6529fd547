import type { GenericSchema, InferOutput } from 'valibot';
import type { AdminScope } from '../../vocabulary/admin-scopes.ts';
import * as messages from './messages.ts';

const prefix = '/admin/v1';

export const openApiPath = '/admin/openapi.json';

/** An operation of the API, as the OpenAPI document describes it. */
export type Operation = {
  method: 'GET' | 'POST';
  path: string;
  summary: string;
  /** The token needs one of these. A revocation needs the one of its kind, see `scopeOf`. */
  scopes: readonly AdminScope[];
  query?: GenericSchema;
  body?: GenericSchema;
  status: 200 | 201;
  answer: GenericSchema;
};

export const operations = {
  listSessions: {
    method: 'GET',
    path: `${prefix}/sessions`,
    summary: 'Lists sessions, optionally of one user name, subject or client, the most recently used first.',
    scopes: ['sessions:read'],
    query: messages.sessionsQuery,
    status: 200,
    answer: messages.sessionsAnswer,
  },
  revoke: {
    method: 'POST',
    path: `${prefix}/revocations`,
    summary:
      'Ends sessions and revokes tokens: of a session, a token, a subject (by id or user name), a client, a key, or everything.',
    scopes: ['sessions:revoke', 'keys:manage', 'everything:revoke'],
    body: messages.revocationBody,
    status: 200,
    answer: messages.revocationAnswer,
  },
  listKeys: {
    method: 'GET',
    path: `${prefix}/keys`,
    summary: 'Lists the signing keys, the oldest first.',
    scopes: ['keys:read'],
    status: 200,
    answer: messages.keysAnswer,
  },
  rotateKeys: {
    method: 'POST',
    path: `${prefix}/keys`,
    summary: 'Adds a signing key, which takes over in ten minutes.',
    scopes: ['keys:manage'],
    status: 201,
    answer: messages.newKeyAnswer,
  },
  listAudit: {
    method: 'GET',
    path: `${prefix}/audit`,
    summary: 'Lists the audit log, the newest entry first.',
    scopes: ['audit:read'],
    query: messages.auditQuery,
    status: 200,
    answer: messages.auditAnswer,
  },
} as const satisfies Record<string, Operation>;

export type OperationName = keyof typeof operations;

/** The scope that a revocation needs. */
export function scopeOf(kind: InferOutput<typeof messages.revocationBody>['kind']): AdminScope {
  switch (kind) {
    case 'session':
    case 'token':
    case 'subject':
    case 'client':
      return 'sessions:revoke';
    case 'key':
      return 'keys:manage';
    case 'everything':
      return 'everything:revoke';
  }
}
