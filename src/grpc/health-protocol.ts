import { endOfMessage, malformedMessage, WireReader } from '../protobuf/wire-reader.ts';
import { messageField, numberField, textField } from '../protobuf/wire-writer.ts';
import { lengthPrefixed } from './length-prefix.ts';
import { malformedRequest } from './method.ts';

/** `HealthCheckResponse.ServingStatus`. */
const servingStatus = { SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } as const;

/** A service's health, in the words of the protocol. */
export type ServingStatus = keyof typeof servingStatus;

/**
 * Reads a `HealthCheckRequest`. A `HealthListRequest` has no fields, and unknown ones are skipped.
 * @returns the service's name, empty for the whole server
 * @see grpc/health/v1/health.proto
 */
export function readHealthRequest(bytes: Buffer): string | typeof malformedRequest {
  const wire = new WireReader(bytes);
  let service = '';
  for (;;) {
    const field = wire.next(bytes.length, 1 << 1);
    if (field === malformedMessage) return malformedRequest;
    if (field === endOfMessage) return service;
    if (field === 1) service = bytes.toString('utf8', wire.start, wire.end);
  }
}

/** A `HealthCheckResponse` with its length prefix. */
export const writeHealth = (status: ServingStatus): Buffer => lengthPrefixed(healthFields(status));

const healthFields = (status: ServingStatus): Buffer => numberField(1, servingStatus[status]);

/** A `HealthListResponse` with its length prefix. */
export function writeHealthList(statuses: ReadonlyMap<string, ServingStatus>): Buffer {
  const entries = [...statuses].map(([service, status]) =>
    messageField(1, [textField(1, service), messageField(2, [healthFields(status)])]),
  );
  return lengthPrefixed(Buffer.concat(entries));
}
