import { join } from 'node:path';
import { envoyConfig } from '../injection/envoy-config.ts';
import type { EnvoyConfigOptions } from '../injection/envoy-options.ts';
import { parseAddress, type Address } from '../runtime/address.ts';

/** What one run of the demo decides at its start. */
export type DemoPlan = {
  directory: string;
  /** Set when the run is to end: no other program is started. */
  isEnding: boolean;
  resourceUrl: string;
  identityUrl: string;
  clientId: string;
  username: string;
  password: string;
  ports: Record<
    | 'envoy'
    | 'identity'
    | 'redis'
    | 'service'
    | 'authorizer'
    | 'authorizerAdmin'
    | 'identityAdmin'
    | 'envoyAdmin',
    number
  >;
};

/** A Unix socket in the run's folder, or TCP if the folder's path is too long for a socket (unix(7)). */
export function authorizerAddress(plan: DemoPlan): Address {
  const socket = parseAddress(`unix://${join(plan.directory, 'authorizer.sock')}`);
  return socket ?? { kind: 'tcp', host: '127.0.0.1', port: plan.ports.authorizer };
}

/** The text of each configuration file, by its name. */
export function demoFiles(plan: DemoPlan): Record<string, string> {
  return {
    'identity.yaml': identityYaml(plan),
    'authorizer.yaml': authorizerYaml(plan),
    'envoy.json': `${JSON.stringify(envoyConfig(envoyOptions(plan)), null, 2)}\n`,
  };
}

const envoyOptions = (plan: DemoPlan): EnvoyConfigOptions => ({
  services: [
    {
      name: 'orders',
      listen: { host: '127.0.0.1', port: plan.ports.envoy },
      upstream: { host: '127.0.0.1', port: plan.ports.service },
    },
  ],
  authorizer: authorizerAddress(plan),
  admin: { host: '127.0.0.1', port: plan.ports.envoyAdmin },
});

const identityYaml = ({ identityUrl, ports }: DemoPlan): string => `\
issuer: ${identityUrl}
listen: 127.0.0.1:${ports.identity}
admin: 127.0.0.1:${ports.identityAdmin}
database: { sqlite: ./identity.db }
redis: { url: redis://127.0.0.1:${ports.redis} }
tokens: { algorithm: RS256, lifetime: 60s, refreshLifetime: 14d }
clients:
  - client_id: cli
    token_endpoint_auth_method: none
    grant_types: ["urn:curfew:grant-type:login", refresh_token]
    default_resource: orders
  - client_id: web
    token_endpoint_auth_method: none
    redirect_uris: [http://localhost:3000/cb]
    grant_types: [authorization_code, refresh_token]
resources: { orders: { scopes: [read, write] } }
`;

function authorizerYaml(plan: DemoPlan): string {
  const address = authorizerAddress(plan);
  const listen = address.kind === 'unix' ? `unix://${address.path}` : `127.0.0.1:${address.port}`;
  return `\
listen: ${listen}
admin: 127.0.0.1:${plan.ports.authorizerAdmin}
issuers:
  - issuer: ${plan.identityUrl}
    audiences: [orders]
    algorithms: [RS256]
    sessionClaim: grant_id
revocation:
  redis: { url: redis://127.0.0.1:${plan.ports.redis} }
`;
}
