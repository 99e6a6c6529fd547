/** RFC 9113 §6: the frames a gRPC client needs. */
export const frameTypes = {
  data: 0,
  headers: 1,
  resetStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
} as const;

export const flags = { endStream: 1, ack: 1, endHeaders: 4 } as const;
export const headerBytes = 9;
export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export function frame(type: number, flag: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(headerBytes + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flag;
  bytes.writeUInt32BE(stream, 5);
  payload.copy(bytes, headerBytes);
  return bytes;
}

export function windowUpdate(stream: number, increment: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(increment);
  return frame(frameTypes.windowUpdate, 0, stream, payload);
}

/**
 * A header block of literals without indexing and without Huffman coding (RFC 7541 §6.2.2): the same for
 * every stream.
 */
export function headerBlock(headers: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]));
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length >= 127) throw new RangeError('a literal longer than one length byte can say');
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

/** gRPC's frame around a message: the flag for no compression, then the length. */
export function grpcMessage(message: Buffer): Buffer {
  const bytes = Buffer.alloc(5 + message.length);
  bytes.writeUInt32BE(message.length, 1);
  message.copy(bytes, 5);
  return bytes;
}

/**
 * The status code of a `CheckResponse` inside gRPC's frame; undefined if the bytes don't start with its
 * status. A code above 127 doesn't occur.
 */
export function statusCodeOf(bytes: Buffer): number | undefined {
  if (bytes.length < 7 || bytes[0] !== 0 || bytes[5] !== 0x0a) return undefined;
  const length = bytes[6] ?? 0;
  return length >= 2 && bytes[7] === 0x08 ? bytes[8] : 0;
}
