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
  /** Whether the key is stored here; the API doesn't tell. */
  isKnown: boolean | undefined;
};

/** Where the keys are: in the database, or behind the administration API. */
type KeyPlace = {
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
    'keys import FILE --config IDENTITY_FILE [--kid KID] [--json]    (PEM or JWK; beside the database only)',
    ...adminUsage,
  ],
  run: async (args, { print, warn }) => {
    const options = { ...adminOptions, reason: text, kid: text, json: { type: 'boolean' } } as const;
    const parsed = parseCommandLine(args, options, { min: 1, max: 2 });
    const [verb = '', operand] = parsed.positionals;
    const kid = optionalText(parsed, 'kid');
    if (kid !== undefined && verb !== 'import') throw usageFault('--kid goes with keys import');
    const { exitCode, line, json } =
      verb === 'import' && operand !== undefined
        ? await importFrom(operand, kid, fileConfig(parsed))
        : await carryOut(verb, operand, optionalText(parsed, 'reason'), placeOf(parsed));
    if (parsed.values['json'] === true) print(JSON.stringify(json));
    else (exitCode === 0 ? print : warn)(line);
    return exitCode;
  },
};

function fileConfig(parsed: ParsedArguments): IdentityConfig {
  if (parsed.values['admin'] !== undefined)
    throw usageFault('a private key is imported beside the database, with --config');
  return loadConfig({ schema: identitySchema, file: requiredOption(parsed, 'config') });
}

function placeOf(parsed: ParsedArguments): KeyPlace {
  const admin = readAdminTarget(parsed);
  return admin === undefined ? inDatabase(fileConfig(parsed)) : behindApi(admin);
}

const inDatabase = (config: IdentityConfig): KeyPlace => ({
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

const behindApi = (admin: AdminClient): KeyPlace => ({
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
  place: KeyPlace,
): Promise<CommandReport> {
  if (verb === 'list' && id === undefined) return listed(await place.list());
  if (verb === 'rotate' && id === undefined) return added(await place.rotate());
  if (verb === 'revoke' && id !== undefined) return revoked(id, await place.revoke(id, reason));
  throw usageFault('keys list, keys rotate, keys revoke KID, or keys import FILE');
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
  const line = lines.join('\n') || 'no keys yet: identity makes one at its first start';
  return { exitCode: 0, line, json: rows };
}

const added = (id: string): CommandReport => ({
  exitCode: 0,
  line: `key ${id} added; it signs in ten minutes, when everybody knows it`,
  json: { id },
});

function revoked(id: string, { isPublished, seq, log, isKnown }: KeyRevocation): CommandReport {
  const unknown = isKnown !== false ? '' : '; it is not stored here, and refused all the same';
  const json = { id, published: isPublished, seq, known: isKnown };
  if (isPublished)
    return { exitCode: 0, line: `key ${id} revoked, seq ${seq ?? '?'}, log ${log}${unknown}`, json };
  const line = `key ${id}: recorded, but not yet published${unknown}: is identity running, and Redis?`;
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
  const line = why === 'exists' ? `there is a key ${id} already` : `key ${id} was revoked, which is for ever`;
  return { exitCode: 1, line, json: { error: line } };
}
