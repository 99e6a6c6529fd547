import type { handleUnaryCall, MethodDefinition } from '@grpc/grpc-js';
import { Fault } from '../runtime/fault.ts';
import type { AuthorizationService } from './authorization-service.ts';
import { malformed } from './check-request.ts';
import { grpcPrefixBytes } from './encoded-response.ts';
import { unused } from '../grpc/health-method.ts';
import type { CheckRequest } from '../check/check-request.ts';
import { checkPath } from './method-names.ts';

/** In an object, since grpc-js takes a request that is undefined for none. */
type Call = { readonly request: CheckRequest | undefined };

/** `Authorization/Check` for grpc-js, with the service's own decoder and its encoded responses. */
export function checkMethod(service: AuthorizationService): {
  definition: { Check: MethodDefinition<Call, Buffer> };
  handlers: { Check: handleUnaryCall<Call, Buffer> };
} {
  return {
    definition: {
      Check: {
        path: checkPath,
        requestStream: false,
        responseStream: false,
        requestSerialize: () => unused(),
        requestDeserialize: (bytes) => {
          const request = service.decode(bytes);
          if (request === malformed) throw new Fault('ERR_INTERNAL', 'malformed check request');
          return { request };
        },
        responseSerialize: (response) => response.subarray(grpcPrefixBytes),
        responseDeserialize: () => unused(),
      },
    },
    handlers: {
      Check: (call, answer) =>
        service.answer(call.request.request, { send: (response) => answer(null, response) }),
    },
  };
}
