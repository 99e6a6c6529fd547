import type { Provider } from 'oidc-provider';
import type { RequestContext } from '../request/request-context.ts';

// oidc-provider takes capitals and a slash at the end, too.
const tokenPath = /^\/token\/?$/i;
const retryAfterSeconds = 5;

/** Refuses requests for tokens while none may be issued, before anything of theirs is used up. The rest goes on. */
export const requireSynchronisedClock =
  (context: () => RequestContext): Parameters<Provider['use']>[0] =>
  async (ctx, next) => {
    if (context().isClockSynchronised || !tokenPath.test(ctx.path)) return await next();
    ctx.status = 503;
    ctx.set('retry-after', String(retryAfterSeconds));
    ctx.set('cache-control', 'no-store');
    ctx.body = {
      error: 'temporarily_unavailable',
      error_description: 'no tokens are issued at present, try again later',
    };
  };
