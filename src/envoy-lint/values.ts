import { field, isMapping, type Node } from './node.ts';

/**
 * Values as Envoy reads them: by protobuf's JSON mapping, and in the other spellings that Envoy's parser
 * accepts. A value that Envoy would reject is undefined here, like an absent one, because no Envoy runs with
 * such a configuration.
 */

/** A bool or BoolValue. Strings count too: `"yes"` is true. */
export function booleanValue(node: Node | undefined): boolean | undefined {
  const value = unwrapped(node);
  if (typeof value === 'boolean') return value;
  if (typeof value !== 'string') return undefined;
  if (/^(?:true|t|yes|y|1)$/i.test(value)) return true;
  return /^(?:false|f|no|n|0)$/i.test(value) ? false : undefined;
}

export const isTrue = (node: Node | undefined): boolean => booleanValue(node) === true;

/** A number, or a wrapper message such as UInt32Value. */
export function numberValue(node: Node | undefined): number | undefined {
  const value = unwrapped(node);
  if (typeof value === 'number') return value;
  if (typeof value !== 'string') return undefined;
  const isNumber = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$|^0x[\da-f]+$/i.test(value);
  return isNumber ? Number(value) : undefined;
}

export const textValue = (node: Node | undefined): string | undefined =>
  typeof node?.value === 'string' ? node.value : undefined;

/** Whether an enum has one of these values. Envoy accepts names in any case, and numbers, quoted or not. */
export function isEnum(node: Node | undefined, values: Readonly<Record<string, number>>): boolean {
  const number = numberValue(node);
  const name = textValue(node)?.toLowerCase();
  return Object.entries(values).some(([known, value]) => number === value || name === known.toLowerCase());
}

/** A Duration in seconds. */
export function secondsValue(node: Node | undefined): number | undefined {
  if (isMapping(node?.value))
    return (numberValue(field(node, 'seconds')) ?? 0) + (numberValue(field(node, 'nanos')) ?? 0) / 1e9;
  const found = /^(\d{1,12}(?:\.\d{1,9})?)s$/.exec(textValue(node) ?? '');
  return found === null ? undefined : Number(found[1]);
}

/** Envoy also accepts a wrapper (BoolValue, UInt32Value) written as a message. */
const unwrapped = (node: Node | undefined): unknown =>
  isMapping(node?.value) ? field(node, 'value')?.value : node?.value;
