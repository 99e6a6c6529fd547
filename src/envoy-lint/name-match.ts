import { field, items, type Node } from './node.ts';
import { isTrue, textValue } from './values.ts';

/**
 * Longer expressions are not evaluated. Names are short, so a longer expression is probably an attack on this
 * program.
 */
const maxRegexLength = 512;

/**
 * Whether a StringMatcher matches the name of a header as Envoy does: in lower case, and with the regular
 * expression for the whole name. Source: envoy.type.matcher.v3.StringMatcher.
 */
export function matchesName(matcher: Node | undefined, name: string): boolean {
  const ignoresCase = isTrue(field(matcher, 'ignore_case'));
  const text = (kind: string): string | undefined => {
    const given = textValue(field(matcher, kind));
    return ignoresCase ? given?.toLowerCase() : given;
  };
  const [exact, prefix, suffix, contains] = ['exact', 'prefix', 'suffix', 'contains'].map(text);
  if (exact !== undefined) return name === exact;
  if (prefix !== undefined) return name.startsWith(prefix);
  if (suffix !== undefined) return name.endsWith(suffix);
  if (contains !== undefined) return name.includes(contains);
  return matchesRegex(textValue(field(field(matcher, 'safe_regex'), 'regex')), name);
}

/** Whether a regular expression of RE2 matches the whole name of a header, which is in lower case. */
export function matchesRegex(regex: string | undefined, name: string): boolean {
  if (regex === undefined || regex.length > maxRegexLength) return false;
  // RE2 has its flags at the beginning. Only `i` matters for a name.
  const inline = /^\(\?([a-zA-Z]+)\)/.exec(regex);
  try {
    const flags = inline?.[1]?.includes('i') === true ? 'i' : '';
    return new RegExp(`^(?:${regex.slice(inline?.[0].length ?? 0)})$`, flags).test(name);
  } catch {
    return false;
  }
}

/** Whether one of the patterns of a ListStringMatcher matches. */
export const listMatchesName = (list: Node | undefined, name: string): boolean =>
  items(field(list, 'patterns')).some((pattern) => matchesName(pattern, name));
