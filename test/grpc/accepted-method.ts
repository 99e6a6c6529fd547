import type { Method } from '../../src/grpc/method.ts';

/** A method table for tests that make the stream of a call themselves. */
export const acceptMethod = (path: string): ReadonlyMap<string, Method> =>
  new Map([[path, { kind: 'unary', path, decode: () => undefined, answer: () => {} }]]);
