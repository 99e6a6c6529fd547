import type { IncomingMessage, ServerResponse } from 'node:http';
import { errors, type default as Provider } from 'oidc-provider';
import type { Authenticate } from '../account/authenticate.ts';
import type { RequestScope } from '../session/request-scope.ts';
import { confirmPage, consentPage, errorPage, loginPage } from './pages.ts';
import type { Texts } from './strings.ts';

/** A page to send; `formTarget` is where its form's answer may lead. */
export type Page = {
  status: number;
  body: string;
  formTarget?: unknown;
  retryAfterSeconds?: number;
  /** Where a redirect leads. */
  location?: string;
};

export type InteractionsOptions = {
  issuer: string;
  provider(): Provider;
  authenticate: Authenticate;
  scope(): RequestScope;
  /** Reads the form of a POST; undefined when it is too long. */
  readForm(request: IncomingMessage): Promise<URLSearchParams | undefined>;
  /** The name a resource is configured under. */
  resourceName(identifier: string): string;
  /** Key of the login's result that holds the version of the credentials. */
  credentialsVersion: string;
};

/** Steps between an authorization request and its answer: the log-in page and what follows it. */
export type Interactions = {
  /** @returns a page, or undefined when the answer was a redirect and is sent */
  answer(request: IncomingMessage, response: ServerResponse, path: string): Promise<Page | undefined>;
};

const pathPattern = /^\/interaction\/(?<uid>[\w-]{16,64})(?<cancel>\/cancel)?$/;

export const isInteractionPath = (path: string): boolean => pathPattern.test(path);

type Details = Awaited<ReturnType<Provider['interactionDetails']>>;

type Step = {
  request: IncomingMessage;
  response: ServerResponse;
  provider: Provider;
  details: Details;
  client: string;
  isConsentNeeded: boolean;
  action: string;
  texts: Texts;
  resourceName(identifier: string): string;
};

export function createInteractions(options: InteractionsOptions): Interactions {
  return {
    answer: async (request, response, path) => {
      const { uid, cancel } = pathPattern.exec(path)?.groups ?? {};
      const provider = options.provider();
      const details = await detailsOf(provider, request, response);
      const { texts } = options.scope();
      if (details === undefined || details.uid !== uid)
        return { status: 400, body: errorPage(texts, texts.error.expired) };
      const step = {
        request,
        response,
        provider,
        details,
        ...(await clientOf(provider, details)),
        texts,
        resourceName: options.resourceName,
        action: `${new URL(options.issuer).pathname.replace(/\/$/, '')}/interaction/${uid}`,
      };
      if (request.method !== 'POST') return show(step);
      if (cancel !== undefined) return await finish(step, cancelled);
      return details.prompt.name === 'login' ? await logIn(step, options) : await confirm(step);
    },
  };
}

const cancelled = { error: 'access_denied', error_description: 'the person said no' };

/** The interaction whose cookie the browser sent; undefined when there is none or it is over. */
async function detailsOf(
  provider: Provider,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Details | undefined> {
  try {
    return await provider.interactionDetails(request, response);
  } catch (thrown) {
    if (thrown instanceof errors.SessionNotFound) return undefined;
    throw thrown;
  }
}

async function clientOf(
  provider: Provider,
  { params }: Details,
): Promise<Pick<Step, 'client' | 'isConsentNeeded'>> {
  const id = params['client_id'];
  const client = typeof id === 'string' ? await provider.Client.find(id) : undefined;
  return {
    client: client?.clientName ?? client?.clientId ?? '',
    isConsentNeeded: client?.['consent_required'] === true,
  };
}

function show(step: Step, attempt?: { username: string; problem: string; status: number }): Page {
  const { details, client, action, texts } = step;
  const formTarget = details.params['redirect_uri'];
  const cancelAction = `${action}/cancel`;
  if (details.prompt.name !== 'login')
    return { status: 200, body: askPage(step, { action, cancelAction, client }), formTarget };
  const hint = details.params['login_hint'];
  const username = attempt?.username ?? (typeof hint === 'string' ? hint.slice(0, 128) : '');
  const body = loginPage(texts, { action, cancelAction, client, username, problem: attempt?.problem });
  return { status: attempt?.status ?? 200, body, formTarget };
}

function askPage(
  { details, texts, isConsentNeeded, resourceName }: Step,
  page: Parameters<typeof confirmPage>[1],
): string {
  if (!isConsentNeeded) return confirmPage(texts, page);
  const { missingOIDCScope: openid = [], missingResourceScopes = {} } = details.prompt.details as Missing;
  const resources = Object.entries(missingResourceScopes).map(([id, scopes]) => [resourceName(id), scopes]);
  return consentPage(texts, {
    ...page,
    openid,
    resources: Object.fromEntries(resources) as Record<string, string[]>,
  });
}

/** What oidc-provider found not to be granted yet. */
type Missing = { missingOIDCScope?: string[]; missingResourceScopes?: Record<string, string[]> };

async function logIn(step: Step, options: InteractionsOptions): Promise<Page | undefined> {
  const form = await options.readForm(step.request);
  if (form === undefined) return { status: 413, body: errorPage(step.texts, step.texts.error.unknown) };
  const username = (form.get('username') ?? '').slice(0, 256);
  const password = form.get('password') ?? '';
  const { address } = options.scope();
  const authentication = await options.authenticate({ username, password, address });
  switch (authentication.kind) {
    case 'authenticated': {
      const { id, credentialsChangedAtMs } = authentication.account;
      const login = {
        accountId: id,
        amr: ['pwd'],
        [options.credentialsVersion]: credentialsChangedAtMs,
      };
      return await finish(step, { login });
    }
    case 'refused':
      return show(step, { username, problem: step.texts.login.refused, status: 401 });
    case 'throttled': {
      const { retryAfterSeconds } = authentication;
      const problem = step.texts.login.throttled(retryAfterSeconds);
      return { ...show(step, { username, problem, status: 429 }), retryAfterSeconds };
    }
  }
}

const confirm = (step: Step): Promise<undefined> =>
  finish(step, { consent: step.details.grantId === undefined ? {} : { grantId: step.details.grantId } });

async function finish(
  { provider, request, response }: Step,
  result: Parameters<Provider['interactionFinished']>[2],
): Promise<undefined> {
  await provider.interactionFinished(request, response, result, {
    mergeWithLastSubmission: !('error' in result) && !('login' in result),
  });
}
