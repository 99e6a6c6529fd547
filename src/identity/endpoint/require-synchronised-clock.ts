import type { Provider } from 'oidc-provider';
import type { RequestContext } from '../request/request-context.ts';

// oidc-provider ignores case and a trailing slash, too.
const tokenPath = /^\/token\/?$/i;
const retryAfterSeconds = 5;

/**
 * Answers 503 to token requests while this machine's clock and the database's differ, before the request uses
 * up a token. Other requests are not affected.
 */
export const requireSynchronisedClock =
  (context: () => RequestContext): Parameters<Provider['use']>[0] =>
  async (ctx, next) => {
    if (context().isClockSynchronised || !tokenPath.test(ctx.path)) return await next();
    ctx.status = 503;
    ctx.set('retry-after', String(retryAfterSeconds));
    ctx.set('cache-control', 'no-store');
    ctx.body = {
      error: 'temporarily_unavailable',
      error_description: 'tokens are temporarily not issued, try again later',
    };
  };
