import { parseAllDocuments, Scalar, visit } from 'yaml';

export type Documents =
  | { readonly kind: 'documents'; readonly documents: readonly unknown[] }
  | { readonly kind: 'unreadable'; readonly message: string };

/**
 * The maximum size of a document after its aliases are resolved, so that a small file can't become a large
 * tree.
 */
const maxAliasCount = 10_000;

/**
 * Parses JSON, or YAML of one or more documents. Never throws. Cost: linear; JSON is many times faster than
 * YAML.
 */
export function readDocuments(text: string): Documents {
  if (/^\s*[[{]/.test(text)) {
    try {
      return { kind: 'documents', documents: [JSON.parse(text) as unknown] };
    } catch {
      // It may be YAML in flow style, which begins the same way.
    }
  }
  try {
    return readYaml(text);
  } catch (thrown) {
    return unreadable(thrown);
  }
}

function readYaml(text: string): Documents {
  // Repeated keys and large numbers are accepted: whether they are valid is up to Envoy's parser.
  const parsed = parseAllDocuments(text, { schema: 'failsafe', uniqueKeys: false, logLevel: 'silent' });
  if (!Array.isArray(parsed)) return { kind: 'unreadable', message: 'it is empty' };
  const [broken] = parsed.flatMap(({ errors }) => errors);
  if (broken !== undefined) return unreadable(broken);
  const documents = parsed.map((document) => {
    visit(document, { Scalar: (key, scalar) => void (key !== 'key' && (scalar.value = valueOf(scalar))) });
    return document.toJS({ maxAliasCount }) as unknown;
  });
  return { kind: 'documents', documents: documents.filter((one) => one !== null && one !== undefined) };
}

/**
 * Whether a scalar is a string in any case: quoted, in a block, or with the tag `!`, which means the same to
 * yaml-cpp. yaml-cpp reads a scalar with any other tag as a plain one.
 */
const isText = ({ tag, type }: Scalar): boolean =>
  tag === '!' || ((tag === undefined || tag === '') && type !== Scalar.PLAIN);

/**
 * The value of a scalar as yaml-cpp reads it, which is Envoy's parser. It follows YAML 1.1 in part: `on` is
 * true and `017` is 15, but `1.5` is a string. Source: Envoy's source/common/protobuf/yaml_utility.cc;
 * yaml-cpp's convert.cpp.
 */
function valueOf(scalar: Scalar): unknown {
  const text = typeof scalar.value === 'string' ? scalar.value : '';
  if (isText(scalar)) return text;
  if (/^(?:~|null|Null|NULL)?$/.test(text)) return null;
  if (/^(?:y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON)$/.test(text)) return true;
  if (/^(?:n|N|no|No|NO|false|False|FALSE|off|Off|OFF)$/.test(text)) return false;
  return integerOf(text) ?? text;
}

function integerOf(text: string): number | undefined {
  const [, sign, digits = ''] = /^([+-]?)(0x[\da-f]+|0[0-7]*|[1-9]\d*)$/i.exec(text) ?? [];
  if (sign === undefined) return undefined;
  const isOctal = /^0\d/.test(digits);
  const number = isOctal ? Number.parseInt(digits, 8) : Number(digits);
  // Envoy reads a larger one as a string, too.
  if (!Number.isSafeInteger(number)) return undefined;
  return sign === '-' ? -number : number;
}

// The first line of a message has the position. The others quote the file, which may contain secrets.
const unreadable = (thrown: unknown): Documents => ({
  kind: 'unreadable',
  message: thrown instanceof Error ? (thrown.message.split('\n', 1)[0] ?? '') : 'it is neither YAML nor JSON',
});
