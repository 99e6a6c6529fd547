import { identitySchema, type IdentityConfig } from '../config/identity.ts';
import type { AdminClient, RemoteAnswer } from '../identity/admin/admin-client.ts';
import {
  addUser,
  changePassword,
  disableUser,
  listPasskeys,
  listSessions,
  removeUserPasskeys,
} from '../identity/operator/account-commands.ts';
import type { Revocation } from '../identity/session/revoker.ts';
import { loadConfig } from '../runtime/config.ts';
import { adminOptions, adminUsage, answerOf, readAdminTarget } from './admin-target.ts';
import {
  optionalText,
  parseCommandLine,
  requiredOption,
  unknownWord,
  usageFault,
  type Command,
  type CommandReport,
  type ParsedArguments,
} from './command.ts';
import { passkeyCount, passkeyList } from './passkey-list.ts';
import { readPassword } from './password-prompt.ts';

type Verb = (config: IdentityConfig, username: string, parsed: ParsedArguments) => Promise<CommandReport>;

const verbs: Record<string, Verb> = { add, disable, passwd, sessions, passkeys };
/** Options that belong to one verb. */
const ownOptions = { 'keep-passkeys': 'passwd', remove: 'passkeys' } as const;

/** The maximum number of sessions that are shown. */
const maxSessions = 1000;
/** The maximum page size of the API. */
const pageSize = 200;

export const userCommand: Command = {
  usage: [
    'user add NAME --config IDENTITY_FILE        (password on standard input)',
    'user passwd NAME --config IDENTITY_FILE [--keep-passkeys]    (ends every session, removes every passkey)',
    'user disable NAME --config IDENTITY_FILE    (ends every session)',
    'user passkeys NAME [--remove ID|all] --config IDENTITY_FILE',
    'user sessions NAME --config IDENTITY_FILE',
    ...adminUsage.map((line) => line.replace('…', 'user sessions NAME')),
  ].map((line) => `${line} [--json]`),
  run: async (args, { print, warn }) => {
    const options = {
      ...adminOptions,
      json: { type: 'boolean' },
      'keep-passkeys': { type: 'boolean' },
      remove: { type: 'string' },
    } as const;
    const parsed = parseCommandLine(args, options, { min: 2, max: 2 });
    const [name = '', username = ''] = parsed.positionals;
    const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
    if (verb === undefined) throw unknownWord(`user ${name}`, Object.keys(verbs));
    for (const [option, owner] of Object.entries(ownOptions))
      if (parsed.values[option] !== undefined && name !== owner)
        throw usageFault(`--${option} is only for user ${owner}`);
    const admin = readAdminTarget(parsed);
    if (admin !== undefined && verb !== sessions)
      throw usageFault(`user ${name} needs the database: use --config, not --admin`);
    const { exitCode, line, json } =
      admin === undefined
        ? await verb(
            loadConfig({ schema: identitySchema, file: requiredOption(parsed, 'config') }),
            username,
            parsed,
          )
        : await remoteSessions(admin, username);
    if (parsed.values['json'] === true) print(JSON.stringify(json));
    else (exitCode === 0 ? print : warn)(line);
    return exitCode;
  },
};

const refused = (line: string): CommandReport => ({ exitCode: 1, line, json: { error: line } });
const noSuchUser = (username: string): CommandReport => refused(`there is no user "${username}"`);

async function add(config: IdentityConfig, username: string): Promise<CommandReport> {
  const id = await addUser(config, { username, password: await readPassword() });
  if (id === undefined) return refused(`the name "${username}" is taken`);
  return { exitCode: 0, line: `user "${username}" added, id ${id}`, json: { username, id } };
}

async function passwd(
  config: IdentityConfig,
  username: string,
  parsed: ParsedArguments,
): Promise<CommandReport> {
  const keepsPasskeys = parsed.values['keep-passkeys'] === true;
  const user = { username, password: await readPassword() };
  const change = await changePassword(config, user, { keepsPasskeys });
  if (change === undefined) return noSuchUser(username);
  const { removed, kept } = change.passkeys;
  const removal = removed > 0 ? `, ${passkeyCount(removed)} removed` : '';
  const remaining = kept > 0 ? `, ${passkeyCount(kept)} kept` : '';
  const { json, ...report } = ended(`password of "${username}" changed${removal}${remaining}`, change);
  return { ...report, json: { ...json, passkeysRemoved: removed, passkeysKept: kept } };
}

async function passkeys(
  config: IdentityConfig,
  username: string,
  parsed: ParsedArguments,
): Promise<CommandReport> {
  const which = optionalText(parsed, 'remove');
  if (which !== undefined) return await removePasskeys(config, username, which);
  const found = await listPasskeys(config, username);
  return found === undefined ? noSuchUser(username) : passkeyList(found);
}

async function removePasskeys(
  config: IdentityConfig,
  username: string,
  which: string,
): Promise<CommandReport> {
  const removed = await removeUserPasskeys(config, username, which);
  if (removed === undefined) return noSuchUser(username);
  if (removed === 0 && which !== 'all') return refused(`"${username}" has no passkey ${which}`);
  return { exitCode: 0, line: `${passkeyCount(removed)} removed`, json: { passkeysRemoved: removed } };
}

async function disable(config: IdentityConfig, username: string): Promise<CommandReport> {
  const revocation = await disableUser(config, username);
  return revocation === undefined ? noSuchUser(username) : ended(`user "${username}" disabled`, revocation);
}

function ended(what: string, { removed, isPublished }: Revocation): CommandReport & { json: object } {
  const count = removed.length;
  const json = { sessionsEnded: count, published: isPublished };
  if (count === 0) return { exitCode: 0, line: `${what}; there was no session`, json };
  const ending = `${what}, ${count} ${count === 1 ? 'session' : 'sessions'} ended`;
  if (isPublished) return { exitCode: 0, line: ending, json };
  const line = `${ending}; recorded, but not yet published: check that identity and Redis are running`;
  return { exitCode: 1, line, json };
}

async function sessions(config: IdentityConfig, username: string): Promise<CommandReport> {
  const found = await listSessions(config, username);
  if (found === undefined) return noSuchUser(username);
  return listed(
    found.map(({ id, clientId, device, address, createdAtMs, lastUsedAtMs }) => ({
      id,
      client: clientId,
      device,
      address,
      created: new Date(createdAtMs).toISOString(),
      lastUsed: new Date(lastUsedAtMs).toISOString(),
    })),
  );
}

/** Over the API, an unknown user is one without sessions. */
async function remoteSessions(admin: AdminClient, user: string): Promise<CommandReport> {
  const rows: Row[] = [];
  for (let offset: number | undefined = 0; offset !== undefined && rows.length < maxSessions;) {
    const query = { user, limit: String(pageSize), offset: String(offset) };
    const page: RemoteAnswer<'listSessions'> = answerOf(await admin.call('listSessions', query));
    for (const { id, client, device, address, createdAt, lastUsedAt } of page.sessions)
      rows.push({ id, client, device, address, created: createdAt, lastUsed: lastUsedAt });
    offset = page.next;
  }
  return listed(rows);
}

type Row = Record<'id' | 'client' | 'device' | 'address' | 'created' | 'lastUsed', string>;

function listed(rows: readonly Row[]): CommandReport {
  const lines = rows.map((row) => [row.id, row.client, row.lastUsed, row.address, row.device].join('  '));
  return { exitCode: 0, line: lines.length === 0 ? 'no sessions' : lines.join('\n'), json: rows };
}
