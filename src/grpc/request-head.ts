import type { RequestHead } from '../http2/request-head.ts';
import { failures, type Failure } from './failure.ts';
import type { Method } from './method.ts';
import { parseTimeout } from './timeout.ts';

/** What the head of a gRPC request says. All requests with the same HTTP/2 head share one. */
export type GrpcRequestHead = {
  /** undefined for an unknown method. */
  readonly method: Method | undefined;
  readonly encoding: 'identity' | 'gzip' | 'deflate';
  /** The caller's deadline, counted from the head; undefined when it gives none. */
  readonly timeoutMs: number | undefined;
  /** Set for a request that isn't gRPC. */
  readonly httpStatus: number | undefined;
  /** Set for a call that can't be answered. */
  readonly failure: Failure | undefined;
};

const contentTypes = /^application\/grpc(?:[+;]|$)/;

/**
 * @param methods by path
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
export function readGrpcRequestHead(
  { method: httpMethod, path, headers }: RequestHead,
  methods: ReadonlyMap<string, Method>,
): GrpcRequestHead {
  const encoding = headers.get('grpc-encoding') ?? 'identity';
  const timeout = headers.get('grpc-timeout');
  const timeoutMs = timeout === undefined ? undefined : parseTimeout(timeout);
  const isKnownEncoding = encoding === 'identity' || encoding === 'gzip' || encoding === 'deflate';
  const method = methods.get(path);
  const head: GrpcRequestHead = {
    method,
    encoding: isKnownEncoding ? encoding : 'identity',
    timeoutMs,
    httpStatus: undefined,
    failure: undefined,
  };
  if (!contentTypes.test(headers.get('content-type') ?? '')) return { ...head, httpStatus: 415 };
  if (httpMethod !== 'POST') return { ...head, httpStatus: 405 };
  if (timeout !== undefined && timeoutMs === undefined)
    return { ...head, failure: failures.malformedTimeout };
  if (method === undefined) return { ...head, failure: failures.unknownMethod };
  if (!isKnownEncoding) return { ...head, failure: failures.unknownEncoding };
  return head;
}
