/** A value in a configuration, with its path. */
export type Node = { readonly value: unknown; readonly path: string };

type Mapping = Readonly<Record<string, unknown>>;

export const isMapping = (value: unknown): value is Mapping =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const join = (path: string, key: string): string => {
  if (!/^[A-Za-z_]\w*$/.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path === '' ? key : `${path}.${key}`;
};

/** A field by its protobuf name. Envoy also accepts its JSON name (lowerCamelCase). */
export function field(node: Node | undefined, name: string): Node | undefined {
  if (node === undefined || !isMapping(node.value)) return undefined;
  const camel = name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  const key = [name, camel].find((one) => Object.hasOwn(node.value as Mapping, one));
  if (key === undefined || node.value[key] === null) return undefined;
  return { value: node.value[key], path: join(node.path, key) };
}

/** A field of a field of …, by their names. */
export const at = (node: Node | undefined, ...names: readonly string[]): Node | undefined =>
  names.reduce(field, node);

/** The elements of a list, or the values of a mapping. Empty for anything else. */
export function children(node: Node | undefined): { key: string; node: Node }[] {
  const { value, path } = node ?? { value: undefined, path: '' };
  if (Array.isArray(value))
    // Unlike `map`, this leaves no hole where the list has one.
    return Array.from(value, (inner: unknown, index) => ({
      key: String(index),
      node: { value: inner, path: `${path}[${index}]` },
    }));
  if (!isMapping(value)) return [];
  return Object.entries(value).map(([key, inner]) => ({
    key,
    node: { value: inner, path: join(path, key) },
  }));
}

/** The elements of a list. Empty for anything else. */
export const items = (node: Node | undefined): Node[] =>
  Array.isArray(node?.value) ? children(node).map((child) => child.node) : [];

/**
 * The node itself and all nodes below it, in order, without those that are left out. Cost: linear. It doesn't
 * recurse, so a deep document can't exhaust the stack.
 */
export function* descendants(root: Node, isLeftOut: (node: Node) => boolean = () => false): Generator<Node> {
  const waiting = [root];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (isLeftOut(node)) continue;
    yield node;
    for (const child of children(node).reverse()) waiting.push(child.node);
  }
}

/**
 * The name of the message in an `@type`, without the host. For a TypedStruct, the name of the message inside.
 */
export function typeOf(node: Node | undefined): string {
  const name = (type: Node | undefined): string =>
    typeof type?.value === 'string' ? (type.value.split('/').at(-1) ?? '') : '';
  const type = name(field(node, '@type'));
  return type.endsWith('.TypedStruct') ? name(field(node, 'type_url')) : type;
}

/** The message that an `@type` names. */
export function messageOf(node: Node): Node {
  const type = field(node, '@type')?.value;
  const isWrapped = typeof type === 'string' && type.endsWith('.TypedStruct');
  return isWrapped ? (field(node, 'value') ?? node) : node;
}
