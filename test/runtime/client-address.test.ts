import { describe, expect, it } from 'vitest';
import { clientAddress } from '../../src/runtime/client-address.ts';

describe('the client’s address', () => {
  const from = (forwarded: string | undefined, hops: number) =>
    clientAddress(
      {
        headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
        socket: { remoteAddress: '10.0.0.1' },
      } as Parameters<typeof clientAddress>[0],
      hops,
    );

  it('is that of the peer, whatever a header says, unless proxies are trusted', () => {
    expect(from('1.2.3.4', 0)).toBe('10.0.0.1');
    expect(from(undefined, 1)).toBe('10.0.0.1');
  });

  it('is the one that the outermost trusted proxy saw', () => {
    expect(from('6.6.6.6, 1.2.3.4', 1)).toBe('1.2.3.4');
    expect(from('6.6.6.6, 1.2.3.4, 10.0.0.9', 2)).toBe('1.2.3.4');
    expect(from('2001:db8::1', 1)).toBe('2001:db8::1');
  });

  it('does not include the port that some proxies append', () => {
    expect(from('203.0.113.4:50123', 1)).toBe('203.0.113.4');
    expect(from('[2001:db8::4]:50123', 1)).toBe('2001:db8::4');
    expect(from('[2001:db8::4]', 1)).toBe('2001:db8::4');
    expect(from('6.6.6.6:1, 203.0.113.4:50123, 10.0.0.9', 2)).toBe('203.0.113.4');
    expect(from('203.0.113.4:port', 1)).toBe('10.0.0.1');
    expect(from('203.0.113.4:123456', 1)).toBe('10.0.0.1');
  });

  it('is that of the peer if the header is malformed or too short', () => {
    expect(from('<script>', 1)).toBe('10.0.0.1');
    expect(from('1.2.3.4', 3)).toBe('10.0.0.1');
  });
});
