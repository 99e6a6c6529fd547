import type { IncomingHttpHeaders } from 'node:http';
import { parse } from 'node:querystring';
import { decodeJwt } from 'jose';
import { networkOf } from '../../runtime/network.ts';
import { createBuckets, type ThrottleLimit } from '../account/login-throttle.ts';
import type { Clock } from '../../runtime/clock.ts';

export type ClientThrottleOptions = {
  clock: Clock;
  /** Failures as one client from one address (of IPv6, a /64). Default: 10 at once, then one every 30 s. */
  perClient?: ThrottleLimit;
  /** Failures from an address, as whatever client. Default: 50 at once, then one every 6 s. */
  perAddress?: ThrottleLimit;
};

/** A request that says which client sends it. */
export type ClientRequest = {
  path: string;
  headers: IncomingHttpHeaders;
  /** The body as oidc-provider gets it. */
  form: Buffer;
  address: string;
};

export type ClientAttempt = {
  /** How long to wait before the request is looked at; 0: go ahead. */
  readonly waitMs: number;
  /** Tells the status it was answered with. */
  answered(status: number): void;
};

/**
 * Slows down who guesses clients' secrets. Only failures count, since a service may ask as often as it likes; and a
 * client is never kept waiting for what others do in its name elsewhere. In memory, per replica.
 */
export type ClientThrottle = {
  /** @returns undefined where no client authenticates */
  begin(request: ClientRequest): ClientAttempt | undefined;
};

const maxEntries = 20_000;
const maxIdLength = 128;

// oidc-provider takes capitals and a slash at the end, too.
const authenticating = /^\/(?:token(?:\/introspection|\/revocation)?|device\/auth)\/?$/i;

export function createClientThrottle({
  clock,
  perClient = { burst: 10, refillEveryMs: 30_000 },
  perAddress = { burst: 50, refillEveryMs: 6000 },
}: ClientThrottleOptions): ClientThrottle {
  const clients = createBuckets(perClient, maxEntries, clock);
  const addresses = createBuckets(perAddress, maxEntries, clock);

  return {
    begin: ({ path, headers, form, address }) => {
      if (!authenticating.test(path)) return undefined;
      const network = networkOf(address);
      const client = `${network} ${clientOf(headers, form)}`;
      return {
        waitMs: Math.max(clients.waitMs(client), addresses.waitMs(network)),
        answered: (status) => {
          // RFC 6749 §5.2: invalid_client. Nothing else is answered so here.
          if (status !== 401) return;
          for (const [buckets, key] of [
            [clients, client],
            [addresses, network],
          ] as const)
            if (buckets.waitMs(key) === 0) buckets.add(key, -1);
        },
      };
    },
  };
}

/*
 * Everything here reads a request as oidc-provider does, with the same parsers. Read otherwise, one client could be
 * named in many ways, and each would get a limit of its own.
 */

/** The client that a request names. What no client can be called counts as one. */
function clientOf({ authorization = '' }: IncomingHttpHeaders, form: Buffer): string {
  const named = authorization === '' ? clientOfForm(form) : clientOfHeader(authorization);
  return named.length > maxIdLength ? '' : named;
}

const basic = /^basic (?<pair>[\w+/=-]+)$/i;

/** RFC 6749 §2.3.1: the id in the header is form-encoded. */
function clientOfHeader(authorization: string): string {
  const pair = basic.exec(authorization)?.groups?.['pair'] ?? '';
  const [id = ''] = Buffer.from(pair, 'base64').toString('utf8').split(':', 1);
  try {
    return decodeURIComponent(id.replaceAll('+', '%20'));
  } catch {
    return '';
  }
}

function clientOfForm(form: Buffer): string {
  const { client_id: id, client_assertion: assertion } = parse(form.toString('utf8'));
  if (typeof id === 'string' && id !== '') return id;
  return id === undefined || id === '' ? subjectOf(assertion) : '';
}

/** RFC 7523 §3: a client's assertion names it, and no `client_id` has to. */
function subjectOf(assertion: unknown): string {
  try {
    return typeof assertion === 'string' ? (decodeJwt(assertion).sub ?? '') : '';
  } catch {
    return '';
  }
}
