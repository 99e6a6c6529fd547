/** An unsigned number below 2^32 in the protobuf wire format. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

const tag = (field: number, wireType: number): Buffer => varint(field * 8 + wireType);

/** A field of an unsigned number, or of an enum. */
export const numberField = (field: number, value: number): Buffer =>
  Buffer.concat([tag(field, 0), varint(value)]);

export function doubleField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([tag(field, 1), bytes]);
}

/** A field of a message, made of its fields. */
export function messageField(field: number, fields: readonly Buffer[]): Buffer {
  const length = fields.reduce((sum, bytes) => sum + bytes.length, 0);
  return Buffer.concat([tag(field, 2), varint(length), ...fields]);
}

export const textField = (field: number, value: string): Buffer =>
  messageField(field, [Buffer.from(value, 'utf8')]);
