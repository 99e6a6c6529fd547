import { readFileSync } from 'node:fs';
import { isLoopback } from '../runtime/address.ts';
import type { Clock } from '../runtime/clock.ts';
import { Fault } from '../runtime/fault.ts';
import type { HttpAnswer, HttpGet } from './http-get.ts';
import { parseJsonObject } from './strict-json.ts';

/** Fetches the text of a JWK Set. @throws ERR_JWKS_UNAVAILABLE, ERR_JWKS_INVALID */
export type JwksSource = () => Promise<string>;

export type JwksSourceOptions = {
  readonly issuer: string;
  /** Undefined: found by discovery from the issuer. */
  readonly uri: string | undefined;
  /** For one whole fetch, including discovery. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** True: plain HTTP is also accepted beyond loopback. */
  readonly allowHttp: boolean;
  /** Path of PEM certificates to trust instead of the system's; read at each fetch. */
  readonly caFile: string | undefined;
  readonly get: HttpGet;
  readonly clock: Clock;
};

type Fetch = (url: string) => Promise<HttpAnswer>;

// A provider rarely moves its keys. After a fetch that failed, discovery is repeated at once.
const discoveryLifetimeMs = 3_600_000;
const maxUriLength = 2048;
/** Characters of another server's text that a message may hold. */
const maxShownLength = 256;

/** @throws ERR_CONFIG_INVALID when the configured address may not be used */
export function createJwksSource(options: JwksSourceOptions): JwksSource {
  const { issuer, uri, allowHttp, clock } = options;
  const refused = whyRefused(uri ?? issuer, allowHttp);
  if (refused !== undefined) throw new Fault('ERR_CONFIG_INVALID', refused);
  let discovered: { uri: string; atMs: number } | undefined;

  async function locate(fetch: Fetch): Promise<string> {
    if (uri !== undefined) return uri;
    if (discovered !== undefined && clock.monotonicMs() - discovered.atMs < discoveryLifetimeMs)
      return discovered.uri;
    discovered = { uri: await discover(issuer, allowHttp, fetch), atMs: clock.monotonicMs() };
    return discovered.uri;
  }

  return async () => {
    const fetch = withinOneDeadline(options);
    const location = await locate(fetch);
    try {
      return bodyOf(location, await fetch(location));
    } catch (thrown) {
      discovered = undefined;
      throw thrown;
    }
  };
}

function withinOneDeadline({ get, clock, timeoutMs, maxBytes, caFile }: JwksSourceOptions): Fetch {
  const deadlineMs = clock.monotonicMs() + timeoutMs;
  const ca = caFile === undefined ? undefined : readCa(caFile);
  return (url) => {
    const remainingMs = Math.max(1, Math.ceil(deadlineMs - clock.monotonicMs()));
    return get(url, { timeoutMs: remainingMs, maxBytes, ca });
  };
}

function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (thrown) {
    throw new Fault('ERR_JWKS_UNAVAILABLE', `cannot read the certificates in ${file}`, { cause: thrown });
  }
}

/**
 * Finds `jwks_uri` by OpenID Connect Discovery §4, else by RFC 8414 §3. The document must name the issuer
 * byte for byte; otherwise its keys belong to another issuer.
 */
async function discover(issuer: string, allowHttp: boolean, fetch: Fetch): Promise<string> {
  const { url, answer } = await fetchMetadata(issuer, fetch);
  const metadata = parseJsonObject(bodyOf(url, answer));
  if (metadata.kind === 'invalid') throw invalid(`${url} is not strict JSON: ${metadata.problem}`);
  const { issuer: named, jwks_uri: found } = metadata.value;
  if (named !== issuer) {
    const other = JSON.stringify(named)?.slice(0, maxShownLength);
    throw invalid(`${url} is about the issuer ${other}, not ${JSON.stringify(issuer)}`);
  }
  if (typeof found !== 'string' || found.length > maxUriLength) throw invalid(`${url} names no jwks_uri`);
  const refused = whyRefused(found, allowHttp) ?? whyDowngraded(issuer, found, allowHttp);
  if (refused !== undefined) throw invalid(`${url} names a jwks_uri that may not be used: ${refused}`);
  return found;
}

async function fetchMetadata(issuer: string, fetch: Fetch): Promise<{ url: string; answer: HttpAnswer }> {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  const openid = `${origin}${path}/.well-known/openid-configuration`;
  const oauth = `${origin}/.well-known/oauth-authorization-server${path}`;
  const answer = await fetch(openid);
  if (answer.status === 200) return { url: openid, answer };
  const second = await fetch(oauth);
  return second.status === 200 ? { url: oauth, answer: second } : { url: openid, answer };
}

function bodyOf(url: string, { status, body }: HttpAnswer): string {
  if (status === 200) return body;
  const redirect = status >= 300 && status < 400 ? '; redirects are not followed' : '';
  throw new Fault('ERR_JWKS_UNAVAILABLE', `GET ${url}: status ${status}${redirect}`);
}

/**
 * A document that came over https must not name plain http, on this machine either: any process that listens
 * there could sign tokens.
 */
function whyDowngraded(issuer: string, found: string, allowHttp: boolean): string | undefined {
  if (allowHttp || new URL(found).protocol === 'https:' || new URL(issuer).protocol !== 'https:')
    return undefined;
  return `${found} is plain http, and the issuer is not`;
}

/** Why keys may not be fetched from an address: an attacker who can change the response can sign tokens. */
function whyRefused(address: string, allowHttp: boolean): string | undefined {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined) return `${address} is not a URL`;
  if (url.username !== '' || url.password !== '') return 'the URL of the keys holds a user name or password';
  if (url.protocol === 'https:') return undefined;
  if (url.protocol !== 'http:') return `${address} is not an https URL`;
  if (allowHttp || isLoopback(url.hostname.replace(/^\[|\]$/g, ''))) return undefined;
  return `${address} is plain http; use https, or set \`jwks.allowHttp: true\` for a network you trust`;
}

const invalid = (message: string): Fault => new Fault('ERR_JWKS_INVALID', message);
