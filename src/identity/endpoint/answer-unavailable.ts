import type { Provider } from 'oidc-provider';
import { databaseRetrySeconds, isDatabaseUnavailable } from '../../runtime/fault.ts';
import { errorPage } from '../interaction/pages.ts';
import type { RequestContext } from '../request/request-context.ts';
import type { UseRecovery } from '../store/use-recovery.ts';

export type AnswerUnavailableOptions = {
  context(): RequestContext;
  recovery: Pick<UseRecovery, 'add'>;
};

/**
 * Records in the request context if an error, or one of its causes, is an unavailable database.
 * @returns whether the database was lost during the request
 */
export function recordDatabaseLoss(context: RequestContext, thrown: unknown): boolean {
  let cause = thrown;
  for (let depth = 0; depth < maxCauses && cause instanceof Error; depth += 1) {
    if (isDatabaseUnavailable(cause)) context.isDatabaseLost = true;
    cause = cause.cause;
  }
  return context.isDatabaseLost;
}

const maxCauses = 5;

/**
 * Answers 503 if the database became unavailable during the request, and undoes the request's uses of tokens.
 */
export const answerUnavailable =
  ({ context, recovery }: AnswerUnavailableOptions): Parameters<Provider['use']>[0] =>
  async (ctx, next) => {
    try {
      await next();
    } catch (thrown) {
      if (!recordDatabaseLoss(context(), thrown)) throw thrown;
    }
    const { isDatabaseLost, uses, texts } = context();
    if (!isDatabaseLost) return;
    recovery.add(uses);
    const isPage = ctx.response.is('html') !== false || ctx.accepts('json', 'html') === 'html';
    ctx.status = 503;
    ctx.set('retry-after', String(databaseRetrySeconds));
    ctx.set('cache-control', 'no-store');
    // The new cookie may name a session that was not stored, so the browser keeps its old one.
    ctx.remove('set-cookie');
    ctx.remove('location');
    if (isPage) ctx.type = 'html';
    // RFC 6749 §4.1.2.1 names the code; RFC 7009 §2.2.1 the status.
    ctx.body = isPage
      ? errorPage(texts, texts.error.unavailable)
      : {
          error: 'temporarily_unavailable',
          error_description: 'the service is temporarily unavailable, try again later',
        };
  };
