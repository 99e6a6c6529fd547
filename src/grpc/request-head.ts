import type { RequestHead } from '../http2/request-head.ts';
import { parseTimeout } from './timeout.ts';
import { grpcStatus } from './grpc-status.ts';

/** What the head of a call says: the same for all calls with the same head. */
export type CallPlan = {
  readonly path: string;
  readonly encoding: 'identity' | 'gzip' | 'deflate';
  /** What the caller gives; undefined when it gives none. */
  readonly timeoutMs: number | undefined;
  /** For a request that isn't gRPC's. */
  readonly httpStatus: number | undefined;
  /** For a call that can't be answered. */
  readonly refusal: { readonly code: number; readonly message: string } | undefined;
};

const contentTypes = /^application\/grpc(?:[+;]|$)/;

/** @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */
export function planCall({ method, path, headers }: RequestHead, paths: ReadonlySet<string>): CallPlan {
  const encoding = headers.get('grpc-encoding') ?? 'identity';
  const timeout = headers.get('grpc-timeout');
  const timeoutMs = timeout === undefined ? undefined : parseTimeout(timeout);
  const isKnownEncoding = encoding === 'identity' || encoding === 'gzip' || encoding === 'deflate';
  const plan: CallPlan = {
    path,
    encoding: isKnownEncoding ? encoding : 'identity',
    timeoutMs,
    httpStatus: undefined,
    refusal: undefined,
  };
  if (!contentTypes.test(headers.get('content-type') ?? '')) return { ...plan, httpStatus: 415 };
  if (method !== 'POST') return { ...plan, httpStatus: 405 };
  if (timeout !== undefined && timeoutMs === undefined)
    return { ...plan, refusal: { code: grpcStatus.internal, message: 'a deadline that is none' } };
  if (!paths.has(path))
    return { ...plan, refusal: { code: grpcStatus.unimplemented, message: 'unknown method' } };
  if (!isKnownEncoding)
    return { ...plan, refusal: { code: grpcStatus.unimplemented, message: 'unknown encoding' } };
  return plan;
}
