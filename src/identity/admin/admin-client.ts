import * as v from 'valibot';
import { isLoopback } from '../../runtime/address.ts';
import { Fault } from '../../runtime/fault.ts';
import { describeError } from '../../runtime/log.ts';
import type { Secret } from '../../runtime/secret.ts';
import { adminAudience, type AdminScope } from '../grant/admin-scopes.ts';
import { problem, revocationAnswer, type revocationBody } from './messages.ts';
import { operations, scopeOf } from './operations.ts';

export type AdminClientOptions = {
  /** Where identity is; https but on this machine. */
  issuer: string;
  clientId: string;
  clientSecret: Pick<Secret, 'text'>;
  /** For each request; ms. Default 10 s. */
  timeoutMs?: number;
  fetch?: typeof globalThis.fetch;
};

export type RemoteRevocation = v.InferInput<typeof revocationBody>;

export type RemoteOutcome =
  | ({ kind: 'done' } & v.InferOutput<typeof revocationAnswer>)
  /** By identity: the client may not, or the request is wrong. */
  | { kind: 'refused'; status: number; detail: string }
  | { kind: 'unreachable'; detail: string };

/** The administration API from afar, for command lines that aren't beside the database. */
export type AdminClient = { revoke(revocation: RemoteRevocation): Promise<RemoteOutcome> };

/** @throws ERR_USAGE for an address where the secret would travel in the clear */
export function createAdminClient(options: AdminClientOptions): AdminClient {
  const { issuer, fetch = globalThis.fetch, timeoutMs = 10_000 } = options;
  const { protocol, hostname } = new URL(issuer);
  if (protocol !== 'https:' && !isLoopback(hostname))
    throw new Fault('ERR_USAGE', `${issuer} is not https: the client's secret would travel in the clear`);

  const send = (path: string, init: RequestInit): Promise<Response> =>
    fetch(`${issuer}${path}`, {
      ...init,
      method: 'POST',
      // Neither the secret nor the token is for anyone else.
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });

  async function run(revocation: RemoteRevocation): Promise<RemoteOutcome> {
    const tokenAnswer = await send('/token', tokenRequest(options, scopeOf(revocation.kind)));
    const token = v.safeParse(tokenSchema, await jsonOf(tokenAnswer));
    if (!token.success)
      return { kind: 'refused', status: tokenAnswer.status, detail: 'the client got no token' };
    const headers = {
      authorization: `Bearer ${token.output.access_token}`,
      'content-type': 'application/json',
    };
    const answer = await send(operations.revoke.path, { headers, body: JSON.stringify(revocation) });
    const body = await jsonOf(answer);
    const done = v.safeParse(revocationAnswer, body);
    if (answer.ok && done.success) return { kind: 'done', ...done.output };
    const refusal = v.safeParse(problem, body);
    const detail = refusal.success ? (refusal.output.detail ?? refusal.output.title) : 'an unknown answer';
    return { kind: 'refused', status: answer.status, detail };
  }

  return {
    revoke: (revocation) =>
      run(revocation).catch((thrown: unknown) => ({
        kind: 'unreachable',
        detail: describeError(thrown).cause ?? describeError(thrown).message,
      })),
  };
}

const tokenSchema = v.object({ access_token: v.string() });

function tokenRequest({ clientId, clientSecret }: AdminClientOptions, scope: AdminScope): RequestInit {
  // RFC 6749 §2.3.1: each part is form-encoded first.
  const [id, secret] = [clientId, clientSecret.text()].map(encodeURIComponent);
  return {
    headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource: adminAudience, scope }),
  };
}

async function jsonOf(answer: Response): Promise<unknown> {
  try {
    return await answer.json();
  } catch {
    return undefined;
  }
}
