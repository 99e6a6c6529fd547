/**
 * Removes the cookies of some names from a Cookie header (RFC 6265 §4.2.1).
 * @param values the header's values as received
 * @returns the new value, empty when no cookie is left; undefined when none of the names is present
 */
export function withoutCookies(
  values: readonly string[] | undefined,
  names: readonly string[],
): string | undefined {
  if (values === undefined) return undefined;
  const pairs = values.flatMap((value) => value.split(';')).map((pair) => pair.trim());
  const rest = pairs.filter((pair) => !names.includes(nameOf(pair)));
  return rest.length === pairs.length ? undefined : rest.filter((pair) => pair !== '').join('; ');
}

const nameOf = (pair: string): string => pair.slice(0, Math.max(0, pair.indexOf('='))).trim();
