import type { HeaderList } from '../http2/header-encoder.ts';
import { grpcStatus } from './grpc-status.ts';

/** The head of every response, a failure's too: gRPC says in the trailers how a call ended. */
export const responseHead: HeaderList = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
];
export const okTrailers: HeaderList = [['grpc-status', '0']];
const acceptedEncodings: HeaderList = [['grpc-accept-encoding', 'identity,deflate,gzip']];

/** How a call fails: its status as the header fields that say it. */
export type Failure = {
  /** For a call whose response hasn't begun. */
  readonly whole: HeaderList;
  /** For a call whose response has begun. */
  readonly trailers: HeaderList;
};

export function createFailure(code: number, message: string): Failure {
  const trailers: HeaderList = [
    ['grpc-status', String(code)],
    ['grpc-message', message],
    ...(code === grpcStatus.unimplemented ? acceptedEncodings : []),
  ];
  return { whole: [...responseHead, ...trailers], trailers };
}

/** The failures that the engine itself knows. */
export const failures = {
  deadlineExceeded: createFailure(grpcStatus.deadlineExceeded, 'deadline exceeded'),
  lateMessage: createFailure(grpcStatus.deadlineExceeded, 'the message was not sent in time'),
  tooManyMessages: createFailure(grpcStatus.resourceExhausted, 'too many messages at once'),
  messageTooLarge: createFailure(grpcStatus.resourceExhausted, 'message larger than the limit'),
  malformedTimeout: createFailure(grpcStatus.internal, 'malformed grpc-timeout'),
  malformedRequest: createFailure(grpcStatus.internal, 'malformed request'),
  incompleteMessage: createFailure(grpcStatus.internal, 'incomplete message'),
  unexpectedCompression: createFailure(grpcStatus.internal, 'a compressed message without grpc-encoding'),
  undecompressable: createFailure(grpcStatus.internal, 'the message does not decompress'),
  severalMessages: createFailure(grpcStatus.unimplemented, 'more than one message'),
  unknownMethod: createFailure(grpcStatus.unimplemented, 'unknown method'),
  unknownEncoding: createFailure(grpcStatus.unimplemented, 'unknown encoding'),
} as const;

/** The header lists of nearly all responses, so that a connection encodes each of them once. */
export const repeatedLists: ReadonlySet<HeaderList> = new Set([
  responseHead,
  okTrailers,
  ...Object.values(failures).flatMap(({ whole, trailers }) => [whole, trailers]),
]);
