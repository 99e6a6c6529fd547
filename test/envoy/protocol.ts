import { fromJSON, type PackageDefinition } from '@grpc/proto-loader';
import { authorizationServiceName } from '../../src/envoy/method-names.ts';
import descriptor from './generated/descriptor.json' with { type: 'json' };
import type { AuthorizationDefinition } from './generated/envoy/service/auth/v3/Authorization.ts';
import type { HealthDefinition } from './generated/grpc/health/v1/Health.ts';

// The generated types were made with these very options; absent fields stay undefined.
const definitions: PackageDefinition = fromJSON(descriptor as Parameters<typeof fromJSON>[0], {
  longs: Number,
});

/** `envoy.service.auth.v3.Authorization`, as grpc-js wants it. */
export const authorizationDefinition = definitions[
  authorizationServiceName
] as unknown as AuthorizationDefinition;

/** `grpc.health.v1.Health`. */
export const healthDefinition = definitions['grpc.health.v1.Health'] as unknown as HealthDefinition;
