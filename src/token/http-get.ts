import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Fault } from '../runtime/fault.ts';
import { describeError } from '../runtime/log.ts';

export type HttpBounds = {
  /** From the first packet to the last byte. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** PEM certificates to trust instead of the system's. */
  readonly ca?: string | undefined;
};

export type HttpAnswer = { readonly status: number; readonly body: string };

/**
 * Fetches a text. Does not follow redirects, but returns the 3xx.
 * @throws ERR_JWKS_UNAVAILABLE when there is no answer in time; ERR_JWKS_INVALID when it is too large or not
 *   UTF-8
 */
export type HttpGet = (url: string, bounds: HttpBounds) => Promise<HttpAnswer>;

/** Uses node:http and node:https, with one connection for each call. Certificates are always verified. */
export const httpGet: HttpGet = async (url, bounds) => {
  const signal = AbortSignal.timeout(bounds.timeoutMs);
  try {
    const response = await send(url, bounds, signal);
    return { status: response.statusCode ?? 0, body: await readBody(response, bounds.maxBytes) };
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    const why = signal.aborted ? `no answer within ${bounds.timeoutMs} ms` : describeError(thrown).message;
    throw new Fault('ERR_JWKS_UNAVAILABLE', `GET ${url}: ${why}`);
  }
};

function send(url: string, bounds: HttpBounds, signal: AbortSignal): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const headers = { accept: 'application/jwk-set+json, application/json', 'accept-encoding': 'identity' };
  const options = {
    signal,
    headers,
    agent: false as const,
    maxHeaderSize: 16_384,
    // Explicit, so that NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment has no effect.
    rejectUnauthorized: true,
  };
  const request = /^https:/i.test(url)
    ? httpsRequest(url, bounds.ca === undefined ? options : { ...options, ca: bounds.ca }, resolve)
    : httpRequest(url, options, resolve);
  // A server that does not answer must not keep a stopped program alive.
  request.once('socket', (socket) => socket.unref());
  request.once('error', reject).end();
  return promise;
}

async function readBody(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  const coding = response.headers['content-encoding'] ?? 'identity';
  if (coding !== 'identity') throw invalid(response, `the answer is encoded as ${coding.slice(0, 32)}`);
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) throw invalid(response, `the answer is longer than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw invalid(response, 'the answer is not UTF-8');
  }
}

function invalid(response: IncomingMessage, message: string): Fault {
  response.destroy();
  return new Fault('ERR_JWKS_INVALID', message);
}
