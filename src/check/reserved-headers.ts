import type { CheckRequest } from './check-request.ts';

/**
 * Names the headers of a request that must not reach the upstream as the client sent them.
 * @param always names that are removed from every request, also if Envoy did not send us the header
 */
export type HeadersToRemove = (
  request: CheckRequest | undefined,
  always: readonly string[],
) => readonly string[];

/**
 * Finds the reserved headers in every spelling that some server folds together: case, and `_` or any other
 * punctuation for `-` (RFC 3875 §4.1.18 makes X-Auth-Subject and X_Auth_Subject the same variable).
 * Cost: one comparison of the first character for most headers. A list is allocated only if a header has to
 * be removed.
 * @param options.prefix every header whose name folds to it is reserved; ends in a hyphen
 * @param options.credentials headers that may carry a token; in any other spelling their value is not
 *   verified
 * @param options.names headers that a decision sets or removes. They are not listed again, because Envoy
 *   removes headers after it sets them
 */
export function createReservedHeaders(options: {
  readonly prefix: string;
  readonly credentials: readonly string[];
  readonly names: readonly string[];
}): HeadersToRemove {
  const prefix = fold(options.prefix);
  const decided = new Set(options.names);
  const credentials = new Set(options.credentials);
  const spellings = [...new Set(options.credentials.filter(hasSpellings).map(fold))];
  const isUnverified = (name: string): boolean =>
    spellings.some((folded) => folded.length === name.length && foldsTo(name, folded)) &&
    !credentials.has(name);
  return (request, always) => {
    let remove: string[] | undefined;
    for (const name of request?.headers.keys() ?? none) {
      if (!(foldsTo(name, prefix) && !decided.has(name)) && !isUnverified(name)) continue;
      remove ??= [...always];
      remove.push(name);
    }
    return remove ?? always;
  };
}

const none: readonly string[] = [];

/** True if other names, beyond differences in case, fold to the same. */
export const hasSpellings = (name: string): boolean => /[^a-z0-9]/.test(name);

export const fold = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, '-');

/** True if `name`, once folded, starts with the folded `prefix`. Allocates nothing. */
function foldsTo(name: string, prefix: string): boolean {
  if (name.length < prefix.length) return false;
  for (let index = 0; index < prefix.length; index += 1) {
    if (foldedCode(name.charCodeAt(index)) !== prefix.charCodeAt(index)) return false;
  }
  return true;
}

function foldedCode(code: number): number {
  if ((code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39)) return code;
  return code >= 0x41 && code <= 0x5a ? code + 0x20 : 0x2d;
}
