import { parseAllDocuments } from 'yaml';

export type Documents =
  | { readonly kind: 'documents'; readonly documents: readonly unknown[] }
  | { readonly kind: 'unreadable'; readonly message: string };

/** Aliases times what they stand for: a small file must not become a large tree. */
const maxAliasCount = 10_000;

/** JSON, or YAML of one or more documents. Never throws. Cost: linear; JSON many times cheaper than YAML. */
export function readDocuments(text: string): Documents {
  if (/^\s*[[{]/.test(text)) {
    try {
      return { kind: 'documents', documents: [JSON.parse(text) as unknown] };
    } catch {
      // YAML's flow style begins the same way.
    }
  }
  try {
    return readYaml(text);
  } catch (thrown) {
    return unreadable(thrown);
  }
}

function readYaml(text: string): Documents {
  // Keys may repeat, and numbers be large: Envoy's parser has the last word on what it takes.
  const parsed = parseAllDocuments(text, { uniqueKeys: false, logLevel: 'silent' });
  if (!Array.isArray(parsed)) return { kind: 'unreadable', message: 'it is empty' };
  const [broken] = parsed.flatMap(({ errors }) => errors);
  if (broken !== undefined) return unreadable(broken);
  const documents = parsed.map((document) => document.toJS({ maxAliasCount }) as unknown);
  return { kind: 'documents', documents: documents.filter((one) => one !== null && one !== undefined) };
}

// The first line of a message says where; the others quote the file, which may hold secrets.
const unreadable = (thrown: unknown): Documents => ({
  kind: 'unreadable',
  message: thrown instanceof Error ? (thrown.message.split('\n', 1)[0] ?? '') : 'it is neither YAML nor JSON',
});
