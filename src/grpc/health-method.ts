import {
  status,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type MethodDefinition,
} from '@grpc/grpc-js';
import { Fault } from '../runtime/fault.ts';
import { readHealthRequest, writeHealth, writeHealthList, type ServingStatus } from './health-protocol.ts';
import type { HealthService, HealthWatcher } from './health-service.ts';
import { healthServiceName } from '../envoy/method-names.ts';

type Request = { readonly service: string };
type Statuses = ReadonlyMap<string, ServingStatus>;

/** `grpc.health.v1.Health` for grpc-js. */
export function healthMethods(health: HealthService): {
  definition: {
    Check: MethodDefinition<Request, ServingStatus>;
    List: MethodDefinition<Request, Statuses>;
    Watch: MethodDefinition<Request, ServingStatus>;
  };
  handlers: {
    Check: handleUnaryCall<Request, ServingStatus>;
    List: handleUnaryCall<Request, Statuses>;
    Watch: handleServerStreamingCall<Request, ServingStatus>;
  };
} {
  return {
    definition: {
      Check: method('Check', false, writeHealth),
      List: method('List', false, writeHealthList),
      Watch: method('Watch', true, writeHealth),
    },
    handlers: {
      Check: ({ request }, answer) => {
        const serving = health.check(request.service);
        if (serving === undefined) answer({ code: status.NOT_FOUND, details: 'unknown service' });
        else answer(null, serving);
      },
      List: (_, answer) => answer(null, health.list()),
      Watch: (call) => {
        const watcher: HealthWatcher = {
          tell: (status) => void call.write(status),
          fail: (code, details) => void call.emit('error', { code, details }),
        };
        call.on('cancelled', () => health.unwatch(watcher));
        call.on('close', () => health.unwatch(watcher));
        health.watch(call.request.service, watcher);
      },
    },
  };
}

function method<Response>(
  name: string,
  responseStream: boolean,
  responseSerialize: (response: Response) => Buffer,
): MethodDefinition<Request, Response> {
  return {
    path: `/${healthServiceName}/${name}`,
    requestStream: false,
    responseStream,
    requestSerialize: () => unused(),
    requestDeserialize: (bytes) => {
      const service = readHealthRequest(bytes);
      if (service === undefined) throw new Fault('ERR_INTERNAL', 'malformed health request');
      return { service };
    },
    responseSerialize,
    responseDeserialize: () => unused(),
  };
}

/** The client's half of a definition. */
export function unused(): never {
  throw new Fault('ERR_INTERNAL', 'a server does not send requests');
}
