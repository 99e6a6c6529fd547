import type { IncomingMessage } from 'node:http';

/** Longest accepted form in bytes. */
export const maxFormBytes = 16 * 1024;

export type FormBody =
  | { kind: 'read'; bytes: Buffer }
  /** Longer than `maxFormBytes`. The rest is not read, so the connection has to be closed. */
  | { kind: 'too_large' };

/** Reads a body up to its end or the limit. The server's request timeout bounds the time. */
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

/** Reads the fields of a form. @returns undefined if it is too long */
export async function readForm(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  const body = await readFormBody(request);
  return body.kind === 'read' ? new URLSearchParams(body.bytes.toString('utf8')) : undefined;
}

/** Reads a body as text. @returns undefined if it is too long */
export async function readText(request: IncomingMessage): Promise<string | undefined> {
  const body = await readFormBody(request);
  return body.kind === 'read' ? body.bytes.toString('utf8') : undefined;
}
