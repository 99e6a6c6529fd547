import { readHealthRequest, writeHealth, writeHealthList } from './health-protocol.ts';
import type { HealthService } from './health-service.ts';
import { grpcStatus } from './grpc-status.ts';
import type { ServerStreamingMethod, UnaryMethod } from './method.ts';

const healthServiceName = 'grpc.health.v1.Health';

/** The methods of `grpc.health.v1.Health`. */
export function createHealthMethods(
  health: HealthService,
): (UnaryMethod<string> | ServerStreamingMethod<string>)[] {
  return [
    {
      kind: 'unary',
      path: `/${healthServiceName}/Check`,
      decode: readHealthRequest,
      answer: (service, reply) => {
        const status = health.check(service);
        if (status === undefined) reply.reject(grpcStatus.notFound, 'unknown service');
        else reply.send(writeHealth(status));
      },
    },
    {
      kind: 'unary',
      path: `/${healthServiceName}/List`,
      decode: readHealthRequest,
      answer: (_, reply) => reply.send(writeHealthList(health.list())),
    },
    {
      kind: 'server-streaming',
      path: `/${healthServiceName}/Watch`,
      decode: readHealthRequest,
      open: (service, responses) => health.watch(service, responses),
      closed: (responses) => health.unwatch(responses),
    },
  ];
}
