import type { Child } from './child.ts';
import type { DemoPlan } from './files.ts';

/** Prints the addresses, and commands to copy and paste. */
export function printWelcome(
  plan: DemoPlan,
  children: readonly Child[],
  print: (line: string) => void,
): void {
  const { identityUrl, resourceUrl, ports } = plan;
  const logs = children.map(({ name, logFile }) => `  ${name.padEnd(11)} ${logFile}`);
  print(`
Curfew is running.

  resource service behind Envoy   ${resourceUrl}/orders
  identity                        ${identityUrl}   (user "${plan.username}", password "${plan.password}")
  authorizer                      http://127.0.0.1:${ports.authorizerAdmin}/status   /metrics   /readyz
  identity's metrics              http://127.0.0.1:${ports.identityAdmin}/metrics

Try it, in another terminal:

  # without a token: 401
  curl -i ${resourceUrl}/orders

  # log in, and keep the two tokens
  tokens=$(curl -s ${identityUrl}/token -d grant_type=urn:curfew:grant-type:login -d client_id=${plan.clientId} \\
    -d username=${plan.username} --data-urlencode 'password=${plan.password}')
  jwt=$(printf %s "$tokens" | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
  refresh=$(printf %s "$tokens" | sed 's/.*"refresh_token":"\\([^"]*\\)".*/\\1/')

  # with the token: 200, and the identity headers that the service received
  curl -i ${resourceUrl}/orders -H "authorization: Bearer $jwt"

  # log out, then use the same token: 401
  curl -s ${identityUrl}/token/revocation -d client_id=${plan.clientId} -d token="$refresh"
  curl -i ${resourceUrl}/orders -H "authorization: Bearer $jwt"

Output of each program:
${logs.join('\n')}

Ctrl-C stops everything.`);
}
