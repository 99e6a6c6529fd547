// Letters and digits of any script, and the punctuation of e-mail addresses.
const allowed = /^[\p{L}\p{N}._@+-]{1,128}$/u;

/**
 * The form in which user names are stored and looked up (NFKC, lower case).
 * @returns undefined for an invalid name
 */
export function normalizeUsername(text: string): string | undefined {
  if (text.length > 256) return undefined;
  const normalized = text.normalize('NFKC').toLowerCase().trim();
  return allowed.test(normalized) ? normalized : undefined;
}
