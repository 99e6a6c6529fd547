import type { IncomingMessage, ServerResponse } from 'node:http';
import * as v from 'valibot';
import { databaseRetrySeconds, Fault, isDatabaseUnavailable } from '../../runtime/fault.ts';
import { adminAudience, type AdminScope } from '../../vocabulary/admin-scopes.ts';
import type { IssuedToken, IssuedTokenVerifier } from '../session/issued-token-verifier.ts';
import { createOperationHandlers, type AdminWork, type AuthorizedRequest } from './operation-handlers.ts';
import { openApiDocument } from './openapi.ts';
import { refusedScope, titles, type ApiRefusal } from './refusal.ts';
import { openApiPath, operations, type Operation, type OperationName } from './operations.ts';

export type AdminApiOptions = AdminWork & {
  issuer: string;
  issuedTokenVerifier: IssuedTokenVerifier;
  /** The client's address in the current request. */
  address(): string;
  /** Reads the body; undefined when it is too long. */
  readBody(request: IncomingMessage): Promise<string | undefined>;
};

/** The administration API: JSON over HTTP, for clients with tokens from the grant type client_credentials. */
export type AdminApi = { answer(request: IncomingMessage, response: ServerResponse): Promise<void> };

export const isAdminPath = (path: string): boolean => path.startsWith('/admin/');

const byRoute = new Map(
  (Object.entries(operations) as [OperationName, Operation][]).map(([name, operation]) => [
    `${operation.method} ${operation.path}`,
    { name, operation },
  ]),
);
const knownPaths: ReadonlySet<string> = new Set(Object.values(operations).map(({ path }) => path));

export function createAdminApi(options: AdminApiOptions): AdminApi {
  const document = `${JSON.stringify(openApiDocument(options.issuer))}\n`;
  const handlers = createOperationHandlers(options);

  async function handle(
    request: IncomingMessage,
    url: URL,
  ): Promise<{ status: number; body: unknown } | ApiRefusal> {
    const found = byRoute.get(`${request.method ?? ''} ${url.pathname}`);
    if (found === undefined) return { refusal: knownPaths.has(url.pathname) ? 405 : 404 };
    const { name, operation } = found;
    const token = await tokenOf(request, options.issuedTokenVerifier);
    if (token === undefined) return { refusal: 401 };
    if (!operation.scopes.some((scope) => hasScope(token, scope))) return refusedScope(operation.scopes);
    const input = await inputOf(request, url, operation, options);
    if ('refusal' in input) return input;
    const actor = { kind: 'client' as const, id: token.clientId, address: options.address() };
    const given: AuthorizedRequest = { actor, mayDo: (scope) => hasScope(token, scope), input: input.value };
    const body = await handlers[name](given);
    return 'refusal' in body ? body : { status: operation.status, body: body.answer };
  }

  return {
    answer: async (request, response) => {
      const url = new URL(request.url ?? '/', options.issuer);
      if (request.method === 'GET' && url.pathname === openApiPath) return send(response, 200, document);
      const outcome = await handle(request, url).catch(refusalOf);
      if ('refusal' in outcome) return sendRefusal(response, outcome);
      send(response, outcome.status, `${JSON.stringify(outcome.body)}\n`);
    },
  };
}

const hasScope = ({ scope }: IssuedToken, wanted: AdminScope): boolean => scope.split(' ').includes(wanted);

const bearer = /^Bearer +(?<token>[\w.~+/-]+=*)$/i;

async function tokenOf(
  { headers }: IncomingMessage,
  issuedTokenVerifier: IssuedTokenVerifier,
): Promise<IssuedToken | undefined> {
  const text = bearer.exec(headers.authorization ?? '')?.groups?.['token'];
  const token = text === undefined ? undefined : await issuedTokenVerifier.verify(text);
  // Tokens of accounts never have this audience. The check of `session` is a second line of defence.
  return token?.aud === adminAudience && token.session === undefined ? token : undefined;
}

async function inputOf(
  request: IncomingMessage,
  url: URL,
  { query, body }: Operation,
  { readBody }: AdminApiOptions,
): Promise<{ value: unknown } | ApiRefusal> {
  const schema = body ?? query;
  if (schema === undefined) return { value: undefined };
  const text = body === undefined ? '' : await readBody(request);
  if (text === undefined) return { refusal: 413 };
  const raw = body === undefined ? Object.fromEntries(url.searchParams) : parseJson(text);
  const parsed = v.safeParse(schema, raw);
  if (parsed.success) return { value: parsed.output };
  const [issue] = parsed.issues;
  const where = v.getDotPath(issue);
  return { refusal: 400, detail: where === null ? issue.message : `${where}: ${issue.message}` };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The answer to a fault that the request or the database caused. Rethrows other faults. */
function refusalOf(thrown: unknown): ApiRefusal {
  if (isDatabaseUnavailable(thrown)) return { refusal: 503, detail: 'try again later' };
  const isRefusal = thrown instanceof Fault && ['ERR_USAGE', 'ERR_REVOCATION_INVALID'].includes(thrown.code);
  if (!isRefusal) throw thrown;
  return { refusal: 400, detail: thrown.message };
}

function sendRefusal(response: ServerResponse, { refusal, detail }: ApiRefusal): void {
  // RFC 6750 §3.
  if (refusal === 401) response.setHeader('www-authenticate', `Bearer realm="${adminAudience}"`);
  if (refusal === 403) response.setHeader('www-authenticate', 'Bearer error="insufficient_scope"');
  if (refusal === 503) response.setHeader('retry-after', databaseRetrySeconds);
  if (refusal === 413) response.setHeader('connection', 'close');
  const problem = { type: 'about:blank', title: titles[refusal], status: refusal, detail };
  send(response, refusal, `${JSON.stringify(problem)}\n`, 'application/problem+json');
}

function send(response: ServerResponse, status: number, body: string, type = 'application/json'): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
}
