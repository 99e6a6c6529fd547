import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { listen, type Address } from '../runtime/address.ts';
import { createHttpDrain } from '../runtime/http-drain.ts';
import type { Part } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import { secretFromFile, watchSecret } from '../runtime/secret.ts';
import type { ReviewAnswer } from './admission-review.ts';
import type { Invocation } from './injection.ts';

export type WebhookOptions = {
  readonly address: Address;
  /** Paths of PEM files. */
  readonly tls: { readonly cert: string; readonly key: string };
  /** Undefined if the body has no uid. @throws only for a defect */
  answer(body: unknown, invocation: Invocation): ReviewAnswer | undefined;
  readonly log: Log;
};

export type Webhook = Part & {
  /** The port on which it listens; 0 before `start`. */
  boundPort(): number;
};

// etcd stores objects of up to 1.5 MiB. A review may contain two of them, and its envelope.
const maxBodyBytes = 4 * 1024 * 1024;
const maxConnections = 256;
// The API server waits for 5 s.
const requestTimeoutMs = 5000;
const invocations: ReadonlyMap<string, Invocation> = new Map([
  ['/inject', 'first'],
  ['/reinvoke', 'again'],
]);

/**
 * The admission webhook: `POST /inject` and `POST /reinvoke` over TLS 1.2 or newer. `/reinvoke` trusts the
 * parts of a pod that have our names, so it must only be called for pods that `/inject` has seen in the same
 * admission. Changed certificate files apply to new connections within 5 s; if the certificate and the key
 * don't match, the previous pair stays in use.
 */
export function createWebhook(options: WebhookOptions): Webhook {
  const { tls, log } = options;
  const server = createServer(
    {
      minVersion: 'TLSv1.2',
      requestTimeout: requestTimeoutMs,
      headersTimeout: requestTimeoutMs,
      maxHeaderSize: 16_384,
    },
    (request, response) => {
      handle(request, response, options).catch((thrown: unknown) => {
        log.error('admission review failed', { err: thrown });
        // The API server treats it as a failed call, so `failurePolicy: Fail` refuses the pod.
        if (!response.headersSent) send(response, 500, { error: 'internal' });
      });
    },
  );
  server.maxConnections = maxConnections;
  const drain = createHttpDrain(server);
  server.on('tlsClientError', (thrown) => log.debug('TLS handshake failed', { err: thrown }));
  let stopWatching: (() => void)[] = [];

  function reload(file: string): void {
    try {
      server.setSecureContext(readTlsFiles(tls));
      log.info('certificates reloaded', { file });
    } catch (thrown) {
      log.warn('certificates could not be reloaded; the previous ones stay in use', { file, err: thrown });
    }
  }

  return {
    name: 'webhook',
    start: async () => {
      server.setSecureContext(readTlsFiles(tls));
      await listen(server, options.address, 'listen');
      stopWatching = [tls.cert, tls.key].map((file) => watchSecret(secretFromFile(file), () => reload(file)));
    },
    stop: async () => {
      stopWatching.forEach((stop) => stop());
      await drain.close(requestTimeoutMs);
    },
    boundPort: () => {
      const bound = server.address();
      return typeof bound === 'object' && bound !== null ? bound.port : 0;
    },
  };
}

function readTlsFiles({ cert, key }: WebhookOptions['tls']): SecureContextOptions {
  const files = {
    cert: secretFromFile(cert).bytes(),
    key: secretFromFile(key).bytes(),
    minVersion: 'TLSv1.2',
  } as const;
  // Throws if the certificate and the key don't match, as happens while they are being replaced.
  createSecureContext(files);
  return files;
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  { answer }: WebhookOptions,
): Promise<void> {
  const invocation = invocations.get(request.url?.split('?', 1)[0] ?? '');
  if (invocation === undefined) return send(response, 404, { error: 'not_found' });
  if (request.method !== 'POST') return send(response, 405, { error: 'method_not_allowed' });
  if (!/^application\/json(?:$|\s*;)/i.test(request.headers['content-type'] ?? ''))
    return send(response, 415, { error: 'not_json' });
  const text = await readBody(request);
  if (text === undefined) return send(response, 413, { error: 'too_large' });
  const body = parseJson(text);
  const review = body === undefined ? undefined : answer(body, invocation);
  if (review === undefined) return send(response, 400, { error: 'malformed_review' });
  send(response, 200, review);
}

/** Undefined if the body is larger than `maxBodyBytes`. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' };
  response.writeHead(status, status === 413 ? { ...headers, connection: 'close' } : headers);
  response.end(`${JSON.stringify(body)}\n`);
}
