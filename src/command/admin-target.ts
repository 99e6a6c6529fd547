import {
  createAdminClient,
  type AdminClient,
  type AdminCredentials,
  type RemoteOutcome,
} from '../identity/admin/admin-client.ts';
import { adminTokenFromEnvironment } from '../runtime/config.ts';
import { Fault } from '../runtime/fault.ts';
import { secretFromFile, secretFromText } from '../runtime/secret.ts';
import { optionalText, usageFault, type ParsedArguments } from './command.ts';

/** The options that `readAdminTarget` reads, and `config`. */
export const adminOptions = {
  config: { type: 'string' },
  admin: { type: 'string' },
  'token-file': { type: 'string' },
  'client-id': { type: 'string' },
  'client-secret-file': { type: 'string' },
} as const;

export const adminUsage = [
  '… --admin URL --client-id ID --client-secret-file FILE    (instead of --config, over the administration API)',
  '… --admin URL --token-file FILE                           (or the token in CURFEW_ADMIN_TOKEN)',
];

/**
 * The administration API that `--admin` names; undefined without that option. Credentials come from files or
 * the environment, because every process on the machine can read a command line.
 * @throws ERR_USAGE, ERR_SECRET_UNREADABLE
 */
export function readAdminTarget(parsed: ParsedArguments): AdminClient | undefined {
  const url = optionalText(parsed, 'admin');
  const given = ['token-file', 'client-id', 'client-secret-file'].filter(
    (name) => parsed.values[name] !== undefined,
  );
  if (url === undefined) {
    if (given.length > 0) throw usageFault(`--${given[0] ?? ''} requires --admin`);
    return undefined;
  }
  if (parsed.values['config'] !== undefined) throw usageFault('use either --admin or --config, not both');
  return createAdminClient({ url, credentials: readCredentials(parsed) });
}

function readCredentials(parsed: ParsedArguments): AdminCredentials {
  const tokenFile = optionalText(parsed, 'token-file');
  const clientId = optionalText(parsed, 'client-id');
  const secretFile = optionalText(parsed, 'client-secret-file');
  if ((clientId === undefined) !== (secretFile === undefined))
    throw usageFault('--client-id and --client-secret-file require each other');
  if (tokenFile !== undefined && clientId !== undefined)
    throw usageFault('use either --token-file or --client-id, not both');
  if (clientId !== undefined && secretFile !== undefined)
    return { kind: 'client', clientId, clientSecret: secretFromFile(secretFile) };
  if (tokenFile !== undefined) return { kind: 'token', token: secretFromFile(tokenFile) };
  const token = adminTokenFromEnvironment();
  if (token === undefined)
    throw usageFault(
      '--admin requires --token-file, --client-id with --client-secret-file, or CURFEW_ADMIN_TOKEN',
    );
  return { kind: 'token', token: secretFromText(token) };
}

/** The answer of the administration API. @throws ERR_ADMIN_API if it refused, or could not be reached */
export function answerOf<Answer>(outcome: RemoteOutcome<Answer>): Answer {
  switch (outcome.kind) {
    case 'done':
      return outcome.answer;
    case 'refused':
      throw new Fault(
        'ERR_ADMIN_API',
        `the administration API refused (${outcome.status}): ${outcome.detail}`,
      );
    case 'unreachable':
      throw new Fault('ERR_ADMIN_API', `cannot reach the administration API: ${outcome.detail}`);
  }
}
