import type { IncomingMessage } from 'node:http';

/** Longest form accepted; a login is far below it. */
export const maxFormBytes = 16 * 1024;

export type FormBody =
  | { kind: 'read'; bytes: Buffer }
  /** Longer than `maxFormBytes`. The rest is left unread: close the connection. */
  | { kind: 'too_large' };

/** Reads a body to its end or to the limit. The server's request timeout bounds the wait. */
export async function readFormBody(request: IncomingMessage): Promise<FormBody> {
  if (Number(request.headers['content-length'] ?? 0) > maxFormBytes) return { kind: 'too_large' };
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxFormBytes) return { kind: 'too_large' };
    chunks.push(chunk);
  }
  return { kind: 'read', bytes: Buffer.concat(chunks, length) };
}

/** The fields of a form; undefined when it is too long. */
export async function readForm(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  const body = await readFormBody(request);
  return body.kind === 'read' ? new URLSearchParams(body.bytes.toString('utf8')) : undefined;
}

/** A body as text; undefined when it is too long. */
export async function readText(request: IncomingMessage): Promise<string | undefined> {
  const body = await readFormBody(request);
  return body.kind === 'read' ? body.bytes.toString('utf8') : undefined;
}
