import type { IncomingHttpHeaders } from 'node:http';
import { parse } from 'node:querystring';
import { decodeJwt } from 'jose';
import { networkOf } from '../../runtime/network.ts';
import { createBuckets, type ThrottleLimit } from '../account/login-throttle.ts';
import type { Clock } from '../../runtime/clock.ts';

export type ClientThrottleOptions = {
  clock: Clock;
  /** Failures of one client id from one address (IPv6: one /64). Default: 10 at once, then one every 30 s. */
  perClient?: ThrottleLimit;
  /** Failures from one address, with any client id. Default: 50 at once, then one every 6 s. */
  perAddress?: ThrottleLimit;
};

/** A request that may authenticate a client. */
export type ClientRequest = {
  path: string;
  headers: IncomingHttpHeaders;
  /** The body that oidc-provider receives. */
  form: Buffer;
  address: string;
};

export type ClientAttempt = {
  /** How long the client has to wait; 0: no wait. */
  readonly waitMs: number;
  /** Call with the status of the response. */
  answered(status: number): void;
};

/**
 * Slows down guessing of client secrets. Only failures count, because a service may send any number of valid
 * requests. Failures from other networks never delay a client. The state is in memory, per replica.
 */
export type ClientThrottle = {
  /** @returns undefined for an endpoint without client authentication */
  begin(request: ClientRequest): ClientAttempt | undefined;
};

const maxEntries = 20_000;
const maxIdLength = 128;

// oidc-provider ignores case and a trailing slash, too.
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
          // RFC 6749 §5.2: these endpoints answer 401 only for invalid_client.
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
 * The functions below read a request exactly as oidc-provider does. Otherwise an attacker could write one
 * client id in many ways, and each would have a limit of its own.
 */

/** The client id of a request. All impossible ids count as the same one. */
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

/** RFC 7523 §3: a client assertion names its client, and `client_id` may be absent. */
function subjectOf(assertion: unknown): string {
  try {
    return typeof assertion === 'string' ? (decodeJwt(assertion).sub ?? '') : '';
  } catch {
    return '';
  }
}
