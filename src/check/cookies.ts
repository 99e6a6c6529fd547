/**
 * The value of a Cookie header without the cookies of some names (RFC 6265 §4.2.1).
 * @param values the header's values as received
 * @returns undefined when none of them is there; empty when nothing is left
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
