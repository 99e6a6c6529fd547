import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createTokenTable, TokenEntry, type TokenTableBounds } from '../../src/token/token-table.ts';

const table = (bounds: Partial<TokenTableBounds> = {}) =>
  createTokenTable({ maxEntries: 10, maxBytes: 1024 * 1024, maxTokenBytes: 8192, ...bounds });

/** A text as long as a token may be at least. */
const named = (name: string | number): string => `token-${String(name).padStart(8, '0')}`;

describe('the table of verified tokens', () => {
  it('gives back the entry of a token, and nothing for another token', () => {
    const tokens = table();
    const entry = new TokenEntry(named('a'));
    tokens.add(entry);
    expect(tokens.findText(named('a'))).toBe(entry);
    for (const other of [named('b'), '', 'a', '__proto__', named('a').slice(1), `${named('a')} `])
      expect(tokens.findText(other)).toBeUndefined();
  });

  it('finds a token in the bytes of a request, wherever it stands in them', () => {
    const tokens = table();
    const entry = new TokenEntry(named('a'));
    tokens.add(entry);
    const bytes = Buffer.from(`Bearer ${named('a')}, more`);
    expect(tokens.find(bytes, 7, 7 + named('a').length)).toBe(entry);
    expect(tokens.find(bytes, 7, 8 + named('a').length)).toBeUndefined();
    expect(tokens.find(bytes, 6, 6 + named('a').length)).toBeUndefined();
    expect(tokens.find(Buffer.alloc(0), 0, 0)).toBeUndefined();
  });

  it('takes no text for a token whose characters have the same low bytes', () => {
    const tokens = table();
    tokens.add(new TokenEntry(named('A')));
    expect(tokens.findText(named('\u0141'))).toBeUndefined();
    expect(tokens.findText(`\u0100${named('A')}`)).toBeUndefined();
  });

  it.each(['é', '€', '\u{1f600}'])(
    'takes no text that goes on with %s where a token may be no longer',
    (rest) => {
      const token = named('a');
      const tokens = table({ maxTokenBytes: token.length + rest.length });
      tokens.add(new TokenEntry(token));
      expect(tokens.findText(`${token}${rest}`)).toBeUndefined();
    },
  );

  it('compares the whole token, not its end alone', () => {
    const tokens = table();
    const entry = new TokenEntry(`header.one.${'s'.repeat(43)}`);
    tokens.add(entry);
    expect(tokens.findText(`header.two.${'s'.repeat(43)}`)).toBeUndefined();
    expect(tokens.findText(entry.token)).toBe(entry);
  });

  it('evicts what was not used lately when it is full, and keeps what was', () => {
    const tokens = table({ maxEntries: 8 });
    const has = (name: string): boolean => tokens.findText(named(name)) !== undefined;
    for (const name of 'abcd') tokens.add(new TokenEntry(named(name)));
    for (const name of 'efg') {
      tokens.add(new TokenEntry(named(name)));
      expect(has('a')).toBe(true);
    }
    for (const name of 'hijk') tokens.add(new TokenEntry(named(name)));
    expect(has('a')).toBe(true);
    expect(has('b')).toBe(false);
  });

  it('is bounded by bytes as well as by entries', () => {
    const tokens = table({ maxEntries: 1_000_000, maxBytes: 100_000 });
    for (let index = 0; index < 1000; index += 1) tokens.add(new TokenEntry(named(index).padStart(800, 'x')));
    expect(tokens.size).toBeGreaterThan(5);
    expect(tokens.size).toBeLessThan(40);
  });

  it('does not keep an entry that is larger than half of it, nor a token longer than any may be', () => {
    const tokens = table({ maxBytes: 10_000, maxTokenBytes: 3000 });
    tokens.add(new TokenEntry('x'.repeat(2900)));
    tokens.add(new TokenEntry('x'.repeat(3001)));
    expect(tokens.size).toBe(0);
    expect(tokens.findText('x'.repeat(3001))).toBeUndefined();
  });

  it('does not change when the bytes that it was asked about change', () => {
    const tokens = table();
    const entry = new TokenEntry(named('a'));
    tokens.add(entry);
    const bytes = Buffer.from(named('a'));
    tokens.find(bytes, 0, bytes.length);
    bytes.fill(0);
    expect(tokens.findText(named('a'))).toBe(entry);
  });

  it('never holds more than its bound nor gives a wrong entry, whatever is done', () => {
    const steps = fc.array(
      fc.record({
        what: fc.constantFrom('add', 'find', 'delete'),
        token: fc.integer({ min: 0, max: 30 }),
        // Longer than a slab holds of them, so that slabs are used again.
        length: fc.constantFrom(20, 5000, 60_000),
      }),
      { maxLength: 300 },
    );
    const property = fc.property(steps, fc.integer({ min: 2, max: 12 }), (actions, maxEntries) => {
      const tokens = table({ maxEntries, maxBytes: 64 * 1024 * 1024, maxTokenBytes: 100_000 });
      const model = new Map<string, TokenEntry>();
      for (const { what, token, length } of actions) {
        const text = named(token).padStart(length, 'x');
        if (what === 'add') {
          const entry = new TokenEntry(text);
          tokens.add(entry);
          model.set(text, entry);
        }
        const known = model.get(text);
        if (what === 'delete' && known !== undefined) {
          tokens.delete(known);
          model.delete(text);
        }
        const found = tokens.findText(text);
        if (found !== undefined && found !== model.get(text)) return false;
        if (what === 'add' && found === undefined) return false;
        if (tokens.size > maxEntries) return false;
      }
      return true;
    });
    expect(() => fc.assert(property, { numRuns: 200 })).not.toThrow();
  });
});
