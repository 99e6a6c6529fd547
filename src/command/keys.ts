import { identitySchema, type IdentityConfig } from '../config/identity.ts';
import type { AdminClient, RemoteAnswer } from '../identity/admin/admin-client.ts';
import { importKey, listKeys, revokeKey, rotateKeys } from '../identity/operator/key-commands.ts';
import { loadConfig } from '../runtime/config.ts';
import { secretFromFile } from '../runtime/secret.ts';
import { adminOptions, adminUsage, answerOf, readAdminTarget } from './admin-target.ts';
import {
  optionalText,
  parseCommandLine,
  requiredOption,
  usageFault,
  type Command,
  type CommandReport,
  type ParsedArguments,
} from './command.ts';

type Keys = RemoteAnswer<'listKeys'>['keys'];
type KeyRevocation = {
  isPublished: boolean;
  seq: number | undefined;
  log: string;
  /** Whether the key is in the database; undefined over the API, which doesn't tell. */
  isKnown: boolean | undefined;
};

/** Access to the keys: in the database, or over the administration API. */
type KeyAccess = {
  list(): Promise<Keys>;
  rotate(): Promise<string>;
  revoke(id: string, reason: string | undefined): Promise<KeyRevocation>;
};

const text = { type: 'string' } as const;

export const keysCommand: Command = {
  usage: [
    'keys list --config IDENTITY_FILE [--json]',
    'keys rotate --config IDENTITY_FILE [--json]',
    'keys revoke KID --config IDENTITY_FILE [--reason WORD] [--json]',
    'keys import FILE --config IDENTITY_FILE [--kid KID] [--json]    (PEM or JWK; not over --admin)',
    ...adminUsage,
  ],
  run: async (args, { print, warn }) => {
    const options = { ...adminOptions, reason: text, kid: text, json: { type: 'boolean' } } as const;
    const parsed = parseCommandLine(args, options, { min: 1, max: 2 });
    const [verb = '', operand] = parsed.positionals;
    const kid = optionalText(parsed, 'kid');
    if (kid !== undefined && verb !== 'import') throw usageFault('--kid is only for keys import');
    const { exitCode, line, json } =
      verb === 'import' && operand !== undefined
        ? await importFrom(operand, kid, fileConfig(parsed))
        : await carryOut(verb, operand, optionalText(parsed, 'reason'), accessOf(parsed));
    if (parsed.values['json'] === true) print(JSON.stringify(json));
    else (exitCode === 0 ? print : warn)(line);
    return exitCode;
  },
};

function fileConfig(parsed: ParsedArguments): IdentityConfig {
  if (parsed.values['admin'] !== undefined)
    throw usageFault('keys import needs the database: use --config, not --admin');
  return loadConfig({ schema: identitySchema, file: requiredOption(parsed, 'config') });
}

function accessOf(parsed: ParsedArguments): KeyAccess {
  const admin = readAdminTarget(parsed);
  return admin === undefined ? throughDatabase(fileConfig(parsed)) : throughApi(admin);
}

const throughDatabase = (config: IdentityConfig): KeyAccess => ({
  list: async () =>
    (await listKeys(config)).map(({ id, algorithm, state, createdAtMs, isEncrypted }) => ({
      id,
      algorithm,
      state,
      createdAt: new Date(createdAtMs).toISOString(),
      encrypted: isEncrypted,
    })),
  rotate: () => rotateKeys(config),
  revoke: async (id, reason) => ({
    ...(await revokeKey(config, id, reason)),
    log: config.revocation.log,
  }),
});

const throughApi = (admin: AdminClient): KeyAccess => ({
  list: async () => answerOf(await admin.call('listKeys')).keys,
  rotate: async () => answerOf(await admin.call('rotateKeys')).id,
  revoke: async (id, reason) => {
    const { published, seq, log } = answerOf(await admin.revoke({ kind: 'key', id, reason }));
    return { isPublished: published, seq, log, isKnown: undefined };
  },
});

async function carryOut(
  verb: string,
  id: string | undefined,
  reason: string | undefined,
  keys: KeyAccess,
): Promise<CommandReport> {
  if (verb === 'list' && id === undefined) return listed(await keys.list());
  if (verb === 'rotate' && id === undefined) return added(await keys.rotate());
  if (verb === 'revoke' && id !== undefined) return revoked(id, await keys.revoke(id, reason));
  throw usageFault('use keys list, keys rotate, keys revoke KID, or keys import FILE');
}

function listed(keys: Keys): CommandReport {
  const rows = keys.map(({ id, algorithm, state, createdAt, encrypted }) => ({
    id,
    algorithm,
    state,
    created: createdAt,
    stored: encrypted ? 'encrypted' : 'not encrypted',
  }));
  const lines = rows.map((row) => Object.values(row).join('  '));
  const line = lines.join('\n') || 'no keys yet: identity creates one at its first start';
  return { exitCode: 0, line, json: rows };
}

const added = (id: string): CommandReport => ({
  exitCode: 0,
  line: `key ${id} added; it starts to sign in ten minutes, when every authorizer has it`,
  json: { id },
});

function revoked(id: string, { isPublished, seq, log, isKnown }: KeyRevocation): CommandReport {
  const unknown = isKnown !== false ? '' : '; it is not in this database, but is refused';
  const json = { id, published: isPublished, seq, known: isKnown };
  if (isPublished)
    return { exitCode: 0, line: `key ${id} revoked, seq ${seq ?? '?'}, log ${log}${unknown}`, json };
  const state = `recorded, but not yet published${unknown}`;
  const line = `key ${id}: ${state}: check that identity and Redis are running`;
  return { exitCode: 1, line, json };
}

async function importFrom(
  file: string,
  kid: string | undefined,
  config: IdentityConfig,
): Promise<CommandReport> {
  const outcome = await importKey(config, secretFromFile(file).text(), kid);
  if (outcome.kind === 'added') return added(outcome.id);
  const { id, why } = outcome;
  const line = why === 'exists' ? `key ${id} exists already` : `key ${id} was revoked, which is permanent`;
  return { exitCode: 1, line, json: { error: line } };
}
