import { errors, type KoaContextWithOIDC, type Provider } from 'oidc-provider';
import { deviceCodePage, deviceConfirmPage, deviceDonePage } from '../interaction/device-pages.ts';
import { errorPage, loggedOutPage, logoutPage } from '../interaction/pages.ts';
import { selfSubmittingPage } from '../interaction/self-submitting-page.ts';
import type { RequestContext } from '../request/request-context.ts';
import { formTargetOf } from './security-headers.ts';

/** Returns the context of the current request. */
type CurrentContext = () => RequestContext;
type Context = KoaContextWithOIDC;

/** Replaces parts of oidc-provider's responses: the response modes in the metadata, and its pages. */
export const correctAnswers =
  (context: CurrentContext, responseModes: readonly string[]): Parameters<Provider['use']>[0] =>
  async (ctx, next) => {
    await next();
    if (ctx.path.startsWith('/.well-known/') && ctx.body !== null && typeof ctx.body === 'object')
      Object.assign(ctx.body, { response_modes_supported: responseModes });
    const { texts } = context();
    const restyled = selfSubmittingPage(ctx.body, texts);
    if (restyled !== undefined) {
      ctx.body = restyled.body;
      allowFormTargets(ctx, targetsOf(ctx.oidc, restyled.action));
    }
    if (ctx.status !== 404 || ctx.body !== undefined) return;
    ctx.type = 'html';
    ctx.body = errorPage(texts, texts.error.notFound);
    ctx.status = 404;
  };

export const logoutSource = (context: CurrentContext) => (ctx: Context, form: string) => {
  allowRedirectTo(ctx, ctx.oidc.session?.state?.['postLogoutRedirectUri']);
  ctx.body = logoutPage(context().texts, form);
};

export const loggedOutSource = (context: CurrentContext) => (ctx: Context) => {
  ctx.type = 'html';
  ctx.body = loggedOutPage(context().texts);
};

export const deviceCodeSource =
  (context: CurrentContext) => (ctx: Context, _form: string, _out?: unknown, thrown?: unknown) => {
    const { texts } = context();
    ctx.type = 'html';
    ctx.body = deviceCodePage(texts, deviceForm(ctx), problemOf(thrown, context));
  };

/** Why the page asks for the code again. */
function problemOf(thrown: unknown, context: CurrentContext): string | undefined {
  if (!(thrown instanceof Error)) return undefined;
  const { device } = context().texts;
  return thrown.name === 'AbortedError' ? device.stopped : device.wrong;
}

export const deviceConfirmSource =
  (context: CurrentContext) =>
  (
    ctx: Context,
    _form: string,
    client: { clientName?: string | undefined; clientId: string },
    _info: unknown,
    userCode: string,
  ) => {
    const form = { ...deviceForm(ctx), client: client.clientName ?? client.clientId, userCode };
    ctx.type = 'html';
    ctx.body = deviceConfirmPage(context().texts, form);
  };

export const deviceDoneSource = (context: CurrentContext) => (ctx: Context) => {
  ctx.type = 'html';
  ctx.body = deviceDonePage(context().texts);
};

function deviceForm(ctx: Context): { action: string; xsrf: string } {
  const secret = ctx.oidc.session?.state?.['secret'];
  return {
    action: new URL(ctx.oidc.urlFor('code_verification')).pathname,
    xsrf: typeof secret === 'string' ? secret : '',
  };
}

/**
 * The targets of a self-submitting form. Chromium also checks each redirect after it against the page's
 * policy. A form for an app (`response_mode=form_post`) leads only to the app. A form for identity ends a
 * login, and then redirects to where a logout leads or, if another user logs in, to the app that requested
 * the login.
 */
function targetsOf({ issuer, session, entities }: Context['oidc'], action: string): string[] {
  const own = new URL(issuer).origin;
  const target = formTargetOf(action);
  if (target !== undefined && target !== own) return [target];
  const next = [session?.state?.['postLogoutRedirectUri'], entities.Interaction?.params['redirect_uri']];
  const targets = next.map(formTargetOf).filter((one) => one !== undefined);
  return ["'self'", ...targets.filter((one) => one !== own)];
}

function allowRedirectTo(ctx: PolicyContext, uri: unknown): void {
  const target = formTargetOf(uri);
  if (target !== undefined) allowFormTargets(ctx, ["'self'", target]);
}

type PolicyContext = Pick<Context, 'response' | 'set'>;

/** Changes the existing policy, because it may already contain the hash of a script. */
function allowFormTargets(ctx: PolicyContext, targets: readonly string[]): void {
  const policy = ctx.response.get('content-security-policy');
  ctx.set(
    'content-security-policy',
    policy.replace("form-action 'self'", `form-action ${targets.join(' ')}`),
  );
}

export const renderError =
  (context: CurrentContext) =>
  (ctx: Context, out: { error: string; error_description?: string | undefined }, thrown: unknown): void => {
    const { texts } = context();
    ctx.type = 'html';
    if (thrown instanceof errors.SessionNotFound) {
      ctx.body = errorPage(texts, texts.error.expired);
      return;
    }
    const { error, error_description: description = '' } = out;
    ctx.body =
      error === 'server_error'
        ? errorPage(texts, texts.error.unknown)
        : errorPage(texts, texts.error.request, { error, description });
  };
