import * as v from 'valibot';
import { isLoopback } from '../../runtime/address.ts';
import { Fault } from '../../runtime/fault.ts';
import { describeError } from '../../runtime/log.ts';
import type { Secret } from '../../runtime/secret.ts';
import { adminAudience, type AdminScope } from '../../vocabulary/admin-scopes.ts';
import { problem, type revocationBody } from './messages.ts';
import { operations, scopeOf, type Operation, type OperationName } from './operations.ts';

/**
 * How a caller authenticates: with a token, or with client credentials, which get a token with the scope of
 * each call.
 */
export type AdminCredentials =
  | { kind: 'token'; token: Pick<Secret, 'text'> }
  | { kind: 'client'; clientId: string; clientSecret: Pick<Secret, 'text'> };

export type AdminClientOptions = {
  /** The issuer of identity, or another address of it. https, except on this machine. */
  url: string;
  credentials: AdminCredentials;
  /** For each request; ms, default 10 s. */
  timeoutMs?: number;
  fetch?: typeof globalThis.fetch;
};

export type RemoteRevocation = v.InferInput<typeof revocationBody>;

export type RemoteAnswer<Name extends OperationName> = v.InferOutput<(typeof operations)[Name]['answer']>;

export type RemoteOutcome<Answer> =
  | { kind: 'done'; answer: Answer }
  /** Identity refused: the token is not valid (401), lacks the scope (403), or the request is invalid. */
  | { kind: 'refused'; status: number; detail: string }
  | { kind: 'unreachable'; detail: string };

/** A client of the administration API, for command lines without access to the database. */
export type AdminClient = {
  revoke(revocation: RemoteRevocation): Promise<RemoteOutcome<RemoteAnswer<'revoke'>>>;
  /** Calls an operation without a body. Cost: one request; with client credentials two. */
  call<Name extends Exclude<OperationName, 'revoke'>>(
    name: Name,
    query?: Readonly<Record<string, string | undefined>>,
  ): Promise<RemoteOutcome<RemoteAnswer<Name>>>;
  /** The issuer at the address. */
  issuer(): Promise<RemoteOutcome<string>>;
};

type Sent = { status: number; isOk: boolean; body: unknown };
type Send = (path: string, init: RequestInit) => Promise<Sent>;

const maxAnswerBytes = 1024 * 1024;

/** @throws ERR_USAGE for an address that would send the credentials unencrypted */
export function createAdminClient(options: AdminClientOptions): AdminClient {
  const { fetch = globalThis.fetch, timeoutMs = 10_000 } = options;
  const url = checkedUrl(options.url);

  const send: Send = async (path, init) => {
    const answer = await fetch(`${url}${path}`, {
      ...init,
      // A redirect could send the secret or the token to another host.
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });
    return { status: answer.status, isOk: answer.ok, body: await jsonOf(answer) };
  };

  async function run<Answer>(
    { method, answer: schema }: Pick<Operation, 'method'> & { answer: v.GenericSchema<unknown, Answer> },
    request: { path: string; scope: AdminScope; body?: string },
  ): Promise<RemoteOutcome<Answer>> {
    const token = await tokenFor(request.scope, options.credentials, send);
    if (typeof token !== 'string') return token;
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const body = request.body === undefined ? {} : { body: request.body };
    return outcomeOf(await send(request.path, { method, headers, ...body }), schema);
  }

  return {
    revoke: (revocation) =>
      orUnreachable(
        run(operations.revoke, {
          path: operations.revoke.path,
          scope: scopeOf(revocation.kind),
          body: JSON.stringify(revocation),
        }),
      ),
    call: <Name extends Exclude<OperationName, 'revoke'>>(name: Name, query = {}) => {
      const operation: Operation = operations[name];
      const answer = operation.answer as v.GenericSchema<unknown, RemoteAnswer<Name>>;
      const [scope] = operations[name].scopes;
      const path = `${operation.path}${queryText(query)}`;
      return orUnreachable(run({ method: operation.method, answer }, { path, scope }));
    },
    issuer: () => {
      const discovery = send('/.well-known/openid-configuration', {});
      return orUnreachable(discovery.then((sent) => outcomeOf(sent, issuerSchema)));
    },
  };
}

function checkedUrl(text: string): string {
  const parsed = URL.parse(text);
  if (parsed === null || parsed.search !== '' || parsed.hash !== '' || parsed.username !== '')
    throw new Fault(
      'ERR_USAGE',
      'the address of the administration API must be a URL without user, query and fragment',
    );
  const isLocal = parsed.protocol === 'http:' && isLoopback(parsed.hostname.replaceAll(/[[\]]/g, ''));
  if (parsed.protocol !== 'https:' && !isLocal)
    throw new Fault('ERR_USAGE', `${text} is not https: credentials would be sent unencrypted`);
  return text.replace(/\/$/, '');
}

function queryText(query: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}

const tokenSchema = v.object({ access_token: v.string() });
const tokenError = v.object({ error: v.string(), error_description: v.optional(v.string()) });
const issuerSchema = v.pipe(
  v.object({ issuer: v.string() }),
  v.transform(({ issuer }) => issuer),
);

async function tokenFor(
  scope: AdminScope,
  credentials: AdminCredentials,
  send: Send,
): Promise<string | Extract<RemoteOutcome<never>, { kind: 'refused' }>> {
  if (credentials.kind === 'token') return credentials.token.text().trim();
  const { clientId, clientSecret } = credentials;
  // RFC 6749 §2.3.1: each part is form-encoded first.
  const pair = [clientId, clientSecret.text()].map(encodeURIComponent).join(':');
  const { status, body } = await send('/token', {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource: adminAudience, scope }),
  });
  const token = v.safeParse(tokenSchema, body);
  if (token.success) return token.output.access_token;
  const refusal = v.safeParse(tokenError, body);
  const why = refusal.success ? `: ${refusal.output.error_description ?? refusal.output.error}` : '';
  return { kind: 'refused', status, detail: `the client ${clientId} got no token for ${scope}${why}` };
}

function outcomeOf<Answer>(sent: Sent, schema: v.GenericSchema<unknown, Answer>): RemoteOutcome<Answer> {
  const done = v.safeParse(schema, sent.body);
  if (sent.isOk && done.success) return { kind: 'done', answer: done.output };
  const refusal = v.safeParse(problem, sent.body);
  const detail = refusal.success
    ? (refusal.output.detail ?? refusal.output.title)
    : 'the response is not from the administration API: is this the address of identity?';
  return { kind: 'refused', status: sent.status, detail };
}

function orUnreachable<Answer>(outcome: Promise<RemoteOutcome<Answer>>): Promise<RemoteOutcome<Answer>> {
  return outcome.catch((thrown: unknown) => {
    if (thrown instanceof Fault) throw thrown;
    const { cause, message } = describeError(thrown);
    return { kind: 'unreachable', detail: cause ?? message };
  });
}

/** The body as JSON; undefined if it is not JSON or too long. */
async function jsonOf(answer: Response): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.body ?? []) {
    length += chunk.length;
    if (length > maxAnswerBytes) return undefined;
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}
