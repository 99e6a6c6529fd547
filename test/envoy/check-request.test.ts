import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toCheckRequest } from '../../src/envoy/check-request.ts';
import type { CheckRequest as CheckMessage } from '../../src/envoy/generated/envoy/service/auth/v3/CheckRequest.ts';
import { authorizationDefinition } from '../../src/envoy/protocol.ts';

const { requestSerialize, requestDeserialize } = authorizationDefinition.Check;

const overTheWire = (message: CheckMessage) => toCheckRequest(requestDeserialize(requestSerialize(message)));

const withHttp = (http: object): CheckMessage => ({ attributes: { request: { http } } });

describe('a check request', () => {
  it('carries method, host, path with query, headers and context extensions', () => {
    const request = overTheWire({
      attributes: {
        request: {
          http: { method: 'POST', host: 'orders', path: '/a?b=c', headers: { authorization: 'Bearer x' } },
        },
        contextExtensions: { 'curfew.access': 'optional' },
      },
    });
    expect(request).toEqual({
      method: 'POST',
      host: 'orders',
      path: '/a?b=c',
      headers: new Map([['authorization', ['Bearer x']]]),
      contextExtensions: new Map([['curfew.access', 'optional']]),
    });
  });

  it('keeps every value of a repeated header in the raw encoding, in order', () => {
    const headers = [
      { key: 'cookie', rawValue: Buffer.from('a=1') },
      { key: 'authorization', rawValue: Buffer.from('Bearer x') },
      { key: 'cookie', rawValue: Buffer.from('b=2') },
    ];
    const request = overTheWire(withHttp({ headerMap: { headers } }));
    expect(request?.headers).toEqual(
      new Map([
        ['cookie', ['a=1', 'b=2']],
        ['authorization', ['Bearer x']],
      ]),
    );
  });

  it('reads bytes that are no UTF-8 as Latin-1 and others as UTF-8', () => {
    const headers = [
      { key: 'x-latin', rawValue: Buffer.from([0xff, 0x41]) },
      { key: 'x-utf8', rawValue: Buffer.from('ä') },
      { key: 'x-empty', rawValue: Buffer.alloc(0) },
      { key: 'x-plain', value: 'v' },
    ];
    const request = overTheWire(withHttp({ headerMap: { headers } }));
    expect(Object.fromEntries(request?.headers ?? [])).toEqual({
      'x-latin': ['ÿA'],
      'x-utf8': ['ä'],
      'x-empty': [''],
      'x-plain': ['v'],
    });
  });

  it('joins both encodings when a message holds both', () => {
    const request = overTheWire(
      withHttp({
        headers: { authorization: 'Bearer a' },
        headerMap: { headers: [{ key: 'Authorization', rawValue: Buffer.from('Bearer b') }] },
      }),
    );
    expect(request?.headers.get('authorization')).toEqual(['Bearer a', 'Bearer b']);
  });

  it('puts header names in lower case, so that no spelling hides from the strip list', () => {
    const request = overTheWire(withHttp({ headers: { 'X-Auth-Subject': 'root' } }));
    expect([...(request?.headers.keys() ?? [])]).toEqual(['x-auth-subject']);
  });

  it.each([
    ['an empty message', {}],
    ['a message without a request', { attributes: {} }],
    ['a request without HTTP attributes', { attributes: { request: {} } }],
  ] satisfies [string, CheckMessage][])('is undefined for %s', (_, message) => {
    expect(overTheWire(message)).toBeUndefined();
  });

  it('is empty, not undefined, for empty HTTP attributes', () => {
    expect(overTheWire(withHttp({}))).toEqual({
      method: '',
      host: '',
      path: '',
      headers: new Map(),
      contextExtensions: new Map(),
    });
  });

  it('is undefined for more headers than any proxy sends, rather than silently leaving some out', () => {
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`h${index}`, 'v']));
    expect(overTheWire(withHttp({ headers: many(1024) }))?.headers.size).toBe(1024);
    expect(overTheWire(withHttp({ headers: many(1025) }))).toBeUndefined();
    const raw = Array.from({ length: 1025 }, () => ({ key: 'h', rawValue: Buffer.from('v') }));
    expect(overTheWire(withHttp({ headerMap: { headers: raw } }))).toBeUndefined();
  });

  it('is undefined for more context extensions than any route has', () => {
    const contextExtensions = Object.fromEntries(
      Array.from({ length: 129 }, (_, index) => [`k${index}`, 'v']),
    );
    expect(overTheWire({ attributes: { request: { http: {} }, contextExtensions } })).toBeUndefined();
  });

  it('takes names that are properties of objects for names', () => {
    const request = overTheWire(withHttp({ headers: { constructor: 'a', toString: 'b' } }));
    expect(request?.headers.get('constructor')).toEqual(['a']);
    expect(request?.headers.get('tostring')).toEqual(['b']);
  });
});

describe('hostile bytes', () => {
  it('are refused by the decoder or become a request, and never reach a prototype', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        let message: ReturnType<typeof requestDeserialize>;
        try {
          message = requestDeserialize(Buffer.from(bytes));
        } catch {
          return;
        }
        expect(() => toCheckRequest(message)).not.toThrow();
        expect(Object.keys(Object.prototype)).toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });

  it('made from a valid message by flipping, cutting and inserting never throw', () => {
    const valid = requestSerialize({
      attributes: {
        request: {
          http: {
            method: 'GET',
            path: '/',
            headers: { authorization: 'Bearer x', __proto__x: 'y' },
            headerMap: { headers: [{ key: 'a', rawValue: Buffer.from([0xff, 0xfe]) }] },
          },
        },
        contextExtensions: { 'curfew.access': 'optional' },
      },
    });
    const position = fc.nat({ max: valid.length - 1 });
    fc.assert(
      fc.property(position, position, fc.uint8Array({ maxLength: 16 }), (from, to, inserted) => {
        const bytes = Buffer.concat([valid.subarray(0, from), inserted, valid.subarray(to)]);
        let message: ReturnType<typeof requestDeserialize>;
        try {
          message = requestDeserialize(bytes);
        } catch {
          return;
        }
        const request = toCheckRequest(message);
        for (const [name, values] of request?.headers ?? []) {
          expect(name).toBe(name.toLowerCase());
          expect(values.every((value) => typeof value === 'string')).toBe(true);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('naming a header __proto__ change no prototype', () => {
    // attributes.request.http.headers = { "__proto__": "x" }, written out: no object literal can hold it.
    const entry = Buffer.concat([
      Buffer.from([0x0a, 9]),
      Buffer.from('__proto__'),
      Buffer.from([0x12, 1, 0x78]),
    ]);
    const nest = (tag: number, inner: Buffer) => Buffer.concat([Buffer.from([tag, inner.length]), inner]);
    const bytes = nest(0x0a, nest(0x22, nest(0x12, nest(0x1a, entry))));
    const request = toCheckRequest(requestDeserialize(bytes));
    expect(request?.method).toBe('');
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  });
});
