import type { HeaderField } from './header-table.ts';

/** The method, path and header fields of a request. Successive requests with equal heads share one object. */
export type RequestHead = {
  readonly method: string;
  readonly path: string;
  /** By lower-case name. Values of a repeated name are joined by a comma and a space. */
  readonly headers: ReadonlyMap<string, string>;
  /** undefined when the request has no content-length. */
  readonly contentLength: number | undefined;
};

const pseudoNames: ReadonlySet<string> = new Set([':method', ':scheme', ':authority', ':path']);
// RFC 9113 §8.2.2: fields that belong to an HTTP/1.1 connection.
const connectionNames: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
]);
// RFC 9110 §5.6.2: a token; RFC 9113 §8.2: in lower case.
const namePattern = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
// RFC 9113 §8.2.1: no NUL, CR or LF, and no space or tab at either end.
// oxlint-disable-next-line no-control-regex
const valuePattern = /^(?![ \t])[^\0\r\n]*(?<![ \t])$/;

/** @returns undefined for a malformed request, which is a stream error. RFC 9113 §8.1.1 */
export function readRequestHead(fields: readonly HeaderField[]): RequestHead | undefined {
  const pseudo = new Map<string, string>();
  const headers = new Map<string, string>();
  for (const [name, value] of fields) {
    if (!valuePattern.test(value)) return undefined;
    if (name.startsWith(':')) {
      if (headers.size > 0 || pseudo.has(name) || !pseudoNames.has(name)) return undefined;
      pseudo.set(name, value);
      continue;
    }
    if (!namePattern.test(name) || connectionNames.has(name)) return undefined;
    if (name === 'te' && value !== 'trailers') return undefined;
    const before = headers.get(name);
    if (before !== undefined && name === 'content-length' && before !== value) return undefined;
    headers.set(name, before === undefined || name === 'content-length' ? value : `${before}, ${value}`);
  }
  const method = pseudo.get(':method');
  const path = pseudo.get(':path');
  if (!method || !path || !pseudo.get(':scheme')) return undefined;
  const length = headers.get('content-length');
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return undefined;
  return { method, path, headers, contentLength: length === undefined ? undefined : Number(length) };
}

/** Checks trailers. RFC 9113 §8.1: they have no pseudo-header fields. */
export const areValidTrailers = (fields: readonly HeaderField[]): boolean =>
  fields.every(
    ([name, value]) => namePattern.test(name) && !connectionNames.has(name) && valuePattern.test(value),
  );
