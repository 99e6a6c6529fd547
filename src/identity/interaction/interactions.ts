import type { IncomingMessage, ServerResponse } from 'node:http';
import { errors, type default as Provider } from 'oidc-provider';
import type { Authenticate, Authentication } from '../account/authenticate.ts';
import type { PasskeyLogin } from '../passkey/passkey-login.ts';
import { mountPath } from '../request/mount-path.ts';
import type { RequestContext } from '../request/request-context.ts';
import { confirmPage, consentPage, errorPage, loginPage } from './pages.ts';
import type { Texts } from '../text/strings.ts';

/** A page to send. `formTarget` is where the response to its form may redirect to. */
export type Page = {
  status: number;
  body: string;
  formTarget?: unknown;
  retryAfterSeconds?: number;
  /** The target of a redirect. */
  location?: string;
  /** Whether the page contains the passkey script. */
  hasPasskeys?: boolean;
  /** Whether the body is JSON, for that script. */
  isJson?: boolean;
};

export type InteractionsOptions = {
  issuer: string;
  provider(): Provider;
  authenticate: Authenticate;
  /** Undefined if passkeys are disabled. */
  passkeyLogin: PasskeyLogin | undefined;
  context(): RequestContext;
  /** Reads the form of a POST; undefined if it is too long. */
  readForm(request: IncomingMessage): Promise<URLSearchParams | undefined>;
  /** The configured name of a resource. */
  resourceName(identifier: string): string;
  /** The key in the login result for the version of the credentials. */
  credentialsVersion: string;
};

/** The pages between an authorization request and its response: login, confirmation and consent. */
export type Interactions = {
  /** @returns a page, or undefined if a redirect was already sent */
  answer(request: IncomingMessage, response: ServerResponse, path: string): Promise<Page | undefined>;
};

const pathPattern = /^\/interaction\/(?<uid>[\w-]{16,64})(?:\/(?<part>cancel|passkey|passkey-challenge))?$/;

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
  hasPasskeys: boolean;
  resourceName(identifier: string): string;
};

export function createInteractions(options: InteractionsOptions): Interactions {
  return {
    answer: async (request, response, path) => {
      const { uid, part } = pathPattern.exec(path)?.groups ?? {};
      const provider = options.provider();
      const details = await detailsOf(provider, request, response);
      const { texts } = options.context();
      if (details === undefined || details.uid !== uid)
        return { status: 400, body: errorPage(texts, texts.error.expired) };
      const step = {
        request,
        response,
        provider,
        details,
        ...(await clientOf(provider, details)),
        texts,
        hasPasskeys: options.passkeyLogin !== undefined,
        resourceName: options.resourceName,
        action: `${mountPath(options.issuer)}/interaction/${uid}`,
      };
      if (request.method !== 'POST') return show(step);
      if (part === 'cancel') return await finish(step, cancelled);
      if (details.prompt.name !== 'login') return await confirm(step);
      if (part === undefined) return await logIn(step, options);
      return await usePasskey(step, part, options);
    },
  };
}

const cancelled = { error: 'access_denied', error_description: 'the user refused' };

/** The interaction of the browser's cookie; undefined without a cookie, or if the interaction has expired. */
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
  const { details, client, action, texts, hasPasskeys } = step;
  const formTarget = details.params['redirect_uri'];
  const cancelAction = `${action}/cancel`;
  if (details.prompt.name !== 'login')
    return { status: 200, body: askPage(step, { action, cancelAction, client }), formTarget };
  const hint = details.params['login_hint'];
  const username = attempt?.username ?? (typeof hint === 'string' ? hint.slice(0, 128) : '');
  const problem = attempt?.problem;
  const body = loginPage(texts, { action, cancelAction, client, username, problem, hasPasskeys });
  return { status: attempt?.status ?? 200, body, formTarget, hasPasskeys };
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

/** The scopes that are requested but not granted yet, as oidc-provider found them. */
type Missing = { missingOIDCScope?: string[]; missingResourceScopes?: Record<string, string[]> };

async function logIn(step: Step, options: InteractionsOptions): Promise<Page | undefined> {
  const form = await options.readForm(step.request);
  if (form === undefined) return { status: 413, body: errorPage(step.texts, step.texts.error.unknown) };
  const username = (form.get('username') ?? '').slice(0, 256);
  const password = form.get('password') ?? '';
  const { address } = options.context();
  const authentication = await options.authenticate({ username, password, address });
  const problem = step.texts.login.refused;
  return await conclude(step, authentication, { username, problem, amr: ['pwd'] }, options);
}

/** Returns a challenge, or verifies the response to one. */
async function usePasskey(step: Step, part: string, options: InteractionsOptions): Promise<Page | undefined> {
  const { passkeyLogin } = options;
  if (passkeyLogin === undefined) return show(step);
  const { uid: interaction } = step.details;
  if (part === 'passkey-challenge')
    return { status: 200, body: JSON.stringify(await passkeyLogin.begin(interaction)), isJson: true };
  const form = await options.readForm(step.request);
  if (form === undefined) return { status: 413, body: errorPage(step.texts, step.texts.error.unknown) };
  const answer = form.get('credential') ?? '';
  const { address } = options.context();
  const authentication = await passkeyLogin.finish({ answer, interaction, address });
  const problem = step.texts.login.passkeyRefused;
  // RFC 8176 §2: proof of possession of a key, and user verification by the device (fingerprint, face or
  // PIN).
  return await conclude(step, authentication, { username: '', problem, amr: ['pop', 'mfa'] }, options);
}

async function conclude(
  step: Step,
  authentication: Authentication,
  { username, problem, amr }: { username: string; problem: string; amr: string[] },
  { credentialsVersion }: InteractionsOptions,
): Promise<Page | undefined> {
  switch (authentication.kind) {
    case 'authenticated': {
      const { id, credentialsChangedAtMs } = authentication.account;
      return await finish(step, {
        login: { accountId: id, amr, [credentialsVersion]: credentialsChangedAtMs },
      });
    }
    case 'refused':
      return show(step, { username, problem, status: 401 });
    case 'throttled': {
      const { retryAfterSeconds } = authentication;
      const wait = step.texts.login.throttled(retryAfterSeconds);
      return { ...show(step, { username, problem: wait, status: 429 }), retryAfterSeconds };
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
