import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLog, describeError, withoutCredentials } from '../../src/runtime/log.ts';

// Three made-up segments: the shape of a JWT, no credential.
const shapeOfToken = ['eyJhbGciOiJub25lIn0', 'eyJzdWIiOiJhIn0', 'c2lnbmF0dXJl'].join('.');

describe('the log', () => {
  it('writes one JSON line with time, level, program, message and fields', () => {
    const lines: string[] = [];
    const log = createLog({
      program: 'authorizer',
      level: 'info',
      destination: { write: (line) => void lines.push(line) },
    });
    log.debug('not written');
    log.info('started', { issuer: 'https://identity.example', count: 2 });
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'info',
      program: 'authorizer',
      msg: 'started',
      issuer: 'https://identity.example',
      count: 2,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
    });
  });

  it("removes what looks like a token or a password from a library's error", () => {
    const error = Object.assign(new Error(`bad ${shapeOfToken} at redis://user:hunter2@host:6379`), {
      code: 'EBAD',
      command: { name: 'auth', args: ['hunter2'] },
    });
    const described = describeError(error);
    expect(described).toEqual({
      name: 'Error',
      code: 'EBAD',
      message: 'bad [token] at redis://[redacted]@host:6379',
    });
    expect(JSON.stringify(described)).not.toContain('hunter2');
  });

  it('describes a thrown value that is not an error', () => {
    expect(describeError('no')).toEqual({ name: 'NonError', message: 'no' });
  });

  it('leaves ordinary text alone', () => {
    expect(withoutCredentials('see https://example.com/a@b and eyJ')).toBe(
      'see https://example.com/a@b and eyJ',
    );
  });

  it('finds a token anywhere in a text', () => {
    const piece = fc.constantFrom('eyJ', 'eyJhbGciOiJub25lIn0', 'abcde', '.', '..', '-', '_', '/', '=', ' ');
    const plainly = (text: string): string => text.replaceAll(/eyJ[\w-]{5,}\.[\w-]+\.[\w-]*/g, '[token]');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 16 }), (pieces) => {
        const text = pieces.join('');
        expect(withoutCredentials(text)).toBe(plainly(text));
      }),
      { numRuns: 5000 },
    );
  });

  it.each([
    ['one long word', 'a'.repeat(60_000)],
    ['the beginnings of tokens', 'eyJ'.repeat(20_000)],
    ['tokens without an end', 'eyJhbGciOiJub25lIn0.'.repeat(3000)],
    ['the beginnings of URLs', 'a://'.repeat(15_000)],
    ['dots', '.'.repeat(60_000)],
  ])('takes negligible time for a request path of %s', (_, path) => {
    const startedMs = performance.now();
    withoutCredentials(`/${path}`);
    // In quadratic time it would be seconds.
    expect(performance.now() - startedMs).toBeLessThan(500);
  });
});
