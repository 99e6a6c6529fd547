import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createKnownTexts } from '../../src/envoy/string-interner.ts';

const value = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  // Equal in length and in their ends, where the slot comes from.
  fc
    .uint8Array({ minLength: 1, maxLength: 40 })
    .map((bytes) => Buffer.concat([Buffer.alloc(100, bytes), Buffer.alloc(8)])),
  fc.constantFrom(2047, 2048, 2049).map((length) => Buffer.alloc(length, 'a')),
);

describe('texts found again', () => {
  it('are what decoding the bytes gives, whatever was asked before', () => {
    fc.assert(
      fc.property(fc.array(value, { maxLength: 40 }), fc.nat(20), (values, before) => {
        const textOf = createKnownTexts(5000);
        // One buffer for all, as a connection may reuse its memory.
        const buffer = Buffer.alloc(before + 2100);
        for (const bytes of [...values, ...values]) {
          buffer.fill(0x20);
          buffer.set(bytes, before);
          expect(textOf(buffer, before, before + bytes.length)).toBe(Buffer.from(bytes).toString('utf8'));
        }
      }),
    );
  });

  it('keep nothing of the pool that all small buffers share', () => {
    const textOf = createKnownTexts();
    const value = Buffer.alloc(100, 'a');
    // Near the end of a piece of the pool the next buffer would come from another.
    while (Buffer.allocUnsafe(1).byteOffset > Buffer.poolSize / 2) Buffer.allocUnsafe(1000);
    const before = Buffer.allocUnsafe(8);
    textOf(value, 0, value.length);
    const after = Buffer.allocUnsafe(8);
    expect(after.buffer).toBe(before.buffer);
    expect(after.byteOffset - before.byteOffset).toBe(8);
  });
});
