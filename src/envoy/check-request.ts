import { isUtf8 } from 'node:buffer';
import type { CheckRequest } from '../check/check-request.ts';
import type { CheckRequest__Output as CheckMessage } from './generated/envoy/service/auth/v3/CheckRequest.ts';

// Envoy's own limit is 100 headers unless configured higher (max_headers_count).
const maxHeaders = 1024;
const maxContextExtensions = 128;

const none: ReadonlyMap<string, string> = new Map();

/**
 * Envoy's message as a plain request. Never throws.
 * @returns undefined when the message has no HTTP attributes, or more headers or context extensions than any
 *   proxy would send: either way nothing can be decided, so the request is refused. Leaving out the excess
 *   would leave out headers that have to be stripped.
 * @see envoy/service/auth/v3/attribute_context.proto
 */
export function toCheckRequest(message: CheckMessage): CheckRequest | undefined {
  const attributes = message.attributes;
  const http = attributes?.request?.http;
  if (http === undefined) return undefined;
  const headers = new Map<string, string[]>();
  // `headers` when encode_raw_headers is off, `header_map` when it is on; both at once are simply both.
  const plain = Object.entries(http.headers ?? {});
  const raw = http.headerMap?.headers ?? [];
  if (plain.length + raw.length > maxHeaders) return undefined;
  for (const [name, value] of plain) add(headers, name, value);
  for (const { key, value, rawValue } of raw) {
    if (key !== undefined) add(headers, key, rawValue === undefined ? (value ?? '') : textOf(rawValue));
  }
  const extensions = Object.entries(attributes?.contextExtensions ?? {});
  if (extensions.length > maxContextExtensions) return undefined;
  return {
    method: http.method ?? '',
    host: http.host ?? '',
    path: http.path ?? '',
    headers,
    contextExtensions: extensions.length === 0 ? none : new Map(extensions),
  };
}

function add(headers: Map<string, string[]>, name: string, value: string): void {
  const key = name.toLowerCase();
  const values = headers.get(key);
  if (values === undefined) headers.set(key, [value]);
  else values.push(value);
}

const textOf = (bytes: Buffer): string => bytes.toString(isUtf8(bytes) ? 'utf8' : 'latin1');
