import { describe, expect, it } from 'vitest';
import { allReasons, reasons } from '../../src/check/reasons.ts';
import { tokenRejections } from '../../src/token/rejection.ts';

describe('the table of reasons', () => {
  it('has a line for everything that can be wrong with a token', () => {
    expect(allReasons).toEqual(expect.arrayContaining([...tokenRejections]));
  });

  it.each(allReasons)('never lets %s pass, and sets HTTP and gRPC status alike', (reason) => {
    const { httpStatus, grpcStatus } = reasons[reason];
    const grpcOf = { 401: 16, 403: 7, 500: 13, 503: 14 };
    expect(grpcStatus).toBe(grpcOf[httpStatus]);
  });

  it.each(allReasons)('tells the client of %s when to come back only if that helps', (reason) => {
    expect(reasons[reason].retryAfterSeconds !== undefined).toBe(reasons[reason].httpStatus === 503);
  });

  it('tells an attacker nothing: whatever is wrong with a token reads the same', () => {
    const invalid = allReasons
      .map((reason) => reasons[reason])
      .filter(({ code }) => code === 'invalid_token');
    expect(invalid).toHaveLength(14);
    expect(new Set(invalid).size).toBe(1);
  });

  it('gives a request without credentials no error code (RFC 6750 §3.1)', () => {
    expect(reasons.no_token.code).toBeUndefined();
  });
});
