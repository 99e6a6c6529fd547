import { endOfMessage, malformedMessage, WireReader } from '../protobuf/wire-reader.ts';
import { messageField, numberField, textField } from '../protobuf/wire-writer.ts';

/** `HealthCheckResponse.ServingStatus`. */
const servingStatus = { SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } as const;

/** A service's health, in the words of the protocol. */
export type ServingStatus = keyof typeof servingStatus;

/**
 * Reads a `HealthCheckRequest`.
 * @returns the service's name, empty for the whole server; undefined for bytes that are no such message
 * @see grpc/health/v1/health.proto
 */
export function readHealthRequest(bytes: Buffer): string | undefined {
  const wire = new WireReader(bytes);
  let service = '';
  for (;;) {
    const field = wire.next(bytes.length, 1 << 1);
    if (field === malformedMessage) return undefined;
    if (field === endOfMessage) return service;
    if (field === 1) service = bytes.toString('utf8', wire.start, wire.end);
  }
}

/** Encodes a `HealthCheckResponse`. */
export const writeHealth = (status: ServingStatus): Buffer => numberField(1, servingStatus[status]);

/** Encodes a `HealthListResponse`. */
export function writeHealthList(statuses: ReadonlyMap<string, ServingStatus>): Buffer {
  const entries = [...statuses].map(([service, status]) =>
    messageField(1, [textField(1, service), messageField(2, [writeHealth(status)])]),
  );
  return Buffer.concat(entries);
}
