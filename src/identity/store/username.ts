// Letters and digits of any script, and the punctuation of e-mail addresses.
const allowed = /^[\p{L}\p{N}._@+-]{1,128}$/u;

/** The form a user name is stored and looked up in (NFKC, lower case); undefined when it can be none. */
export function normalizeUsername(text: string): string | undefined {
  if (text.length > 256) return undefined;
  const normalized = text.normalize('NFKC').toLowerCase().trim();
  return allowed.test(normalized) ? normalized : undefined;
}
