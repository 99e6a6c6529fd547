import type { MethodDefinition } from '@grpc/grpc-js';
import { Fault } from '../runtime/fault.ts';
import {
  _grpc_health_v1_HealthCheckResponse_ServingStatus as servingStatus,
  type HealthCheckResponse,
} from './generated/grpc/health/v1/HealthCheckResponse.ts';
import type { HealthCheckRequest__Output } from './generated/grpc/health/v1/HealthCheckRequest.ts';
import type { HealthListResponse } from './generated/grpc/health/v1/HealthListResponse.ts';
import { healthServiceName } from './method-names.ts';
import { endOfMessage, malformedMessage, WireReader } from './wire-reader.ts';
import { messageField, numberField, textField } from './wire-writer.ts';

/** `grpc.health.v1.Health` for grpc-js, as far as a server needs it. */
export const healthDefinition = {
  Check: method('Check', false, readRequest, writeStatus),
  List: method('List', false, () => ({}), writeList),
  Watch: method('Watch', true, readRequest, writeStatus),
};

function method<Request, Response>(
  name: string,
  responseStream: boolean,
  requestDeserialize: (bytes: Buffer) => Request,
  responseSerialize: (response: Response) => Buffer,
): MethodDefinition<Request, Response> {
  return {
    path: `/${healthServiceName}/${name}`,
    requestStream: false,
    responseStream,
    requestSerialize: () => unused(),
    requestDeserialize,
    responseSerialize,
    responseDeserialize: () => unused(),
  };
}

function readRequest(bytes: Buffer): HealthCheckRequest__Output {
  const wire = new WireReader(bytes);
  let service: string | undefined;
  for (;;) {
    const field = wire.next(bytes.length, 1 << 1);
    if (field === malformedMessage) throw new Fault('ERR_INTERNAL', 'malformed health request');
    if (field === endOfMessage) return service === undefined ? {} : { service };
    if (field === 1) service = bytes.toString('utf8', wire.start, wire.end);
  }
}

function writeStatus({ status }: HealthCheckResponse): Buffer {
  const code = typeof status === 'string' ? servingStatus[status] : (status ?? 0);
  return numberField(1, code);
}

function writeList({ statuses }: HealthListResponse): Buffer {
  const entries = Object.entries(statuses ?? {}).map(([service, response]) =>
    messageField(1, [textField(1, service), messageField(2, [writeStatus(response)])]),
  );
  return Buffer.concat(entries);
}

/** The client's half of a definition. */
export function unused(): never {
  throw new Fault('ERR_INTERNAL', 'a server does not send requests');
}
