import type { HeaderField } from './header-table.ts';

/** What a request begins with; the same object for equal requests of a connection. */
export type RequestHead = {
  readonly method: string;
  readonly path: string;
  /** By name in lower case; of a name that came more than once the values, joined by a comma. */
  readonly headers: ReadonlyMap<string, string>;
  /** undefined when the client doesn't say. */
  readonly contentLength: number | undefined;
};

const pseudoNames: ReadonlySet<string> = new Set([':method', ':scheme', ':authority', ':path']);
// RFC 9113 §8.2.2.
const connectionNames: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
]);
// RFC 9110 §5.6.2, without capitals.
const namePattern = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
// RFC 9113 §8.2.1: no NUL, CR or LF, and no blank at either end.
// oxlint-disable-next-line no-control-regex
const valuePattern = /^(?![ \t])[^\0\r\n]*(?<![ \t])$/;

/** @returns undefined for a malformed request (RFC 9113 §8.1.1), which is an error of its stream */
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

/** RFC 9113 §8.1: trailers have no pseudo-header fields. */
export const areTrailers = (fields: readonly HeaderField[]): boolean =>
  fields.every(
    ([name, value]) => namePattern.test(name) && !connectionNames.has(name) && valuePattern.test(value),
  );
