/** Encodes an unsigned number below 2^32. https://protobuf.dev/programming-guides/encoding/ */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

const tag = (field: number, wireType: number): Buffer => varint(field * 8 + wireType);

/** Encodes a field of an unsigned integer type below 2^32, or of an enum. */
export const numberField = (field: number, value: number): Buffer =>
  Buffer.concat([tag(field, 0), varint(value)]);

/** Encodes a field of type double. */
export function doubleField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([tag(field, 1), bytes]);
}

/** Encodes a field whose type is a message, given the encoded fields of that message. */
export function messageField(field: number, fields: readonly Buffer[]): Buffer {
  const length = fields.reduce((sum, bytes) => sum + bytes.length, 0);
  return Buffer.concat([tag(field, 2), varint(length), ...fields]);
}

/** Encodes a field of type string. */
export const textField = (field: number, value: string): Buffer =>
  messageField(field, [Buffer.from(value, 'utf8')]);
