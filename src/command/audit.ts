import { identitySchema } from '../config/identity.ts';
import type { AdminClient, RemoteAnswer } from '../identity/admin/admin-client.ts';
import { listAudit } from '../identity/operator/session-commands.ts';
import { loadConfig } from '../runtime/config.ts';
import { adminOptions, adminUsage, answerOf, readAdminTarget } from './admin-target.ts';
import { optionalText, parseCommandLine, requiredOption, usageFault, type Command } from './command.ts';
import { readPastTime } from './past-time.ts';

type Entry = RemoteAnswer<'listAudit'>['entries'][number];

type Query = {
  user: string | undefined;
  client: string | undefined;
  sinceMs: number | undefined;
  limit: number;
};

const text = { type: 'string' } as const;
const maxEntries = 1000;
/** The maximum page size of the API. */
const pageSize = 200;

export const auditCommand: Command = {
  usage: [
    'audit --config IDENTITY_FILE [--user NAME] [--client ID] [--since TIME] [--limit N] [--json]',
    ...adminUsage,
  ],
  run: async (args, { print }) => {
    const options = { ...adminOptions, user: text, client: text, since: text, limit: text };
    const parsed = parseCommandLine(args, { ...options, json: { type: 'boolean' } }, { min: 0, max: 0 });
    const since = optionalText(parsed, 'since');
    const query = {
      user: optionalText(parsed, 'user'),
      client: optionalText(parsed, 'client'),
      sinceMs: since === undefined ? undefined : readPastTime('--since', since) * 1000,
      limit: readLimit(optionalText(parsed, 'limit')),
    };
    const admin = readAdminTarget(parsed);
    const entries =
      admin === undefined
        ? await fromDatabase(requiredOption(parsed, 'config'), query)
        : await fromApi(admin, query);
    if (parsed.values['json'] === true) print(JSON.stringify(entries));
    else print(entries.map(lineOf).join('\n') || 'no entries');
    return 0;
  },
};

function readLimit(limit = '50'): number {
  const count = /^\d{1,4}$/.test(limit) ? Number(limit) : 0;
  if (count >= 1 && count <= maxEntries) return count;
  throw usageFault(`--limit must be 1 to ${maxEntries}`);
}

async function fromDatabase(file: string, { limit, ...filter }: Query): Promise<Entry[]> {
  const config = loadConfig({ schema: identitySchema, file });
  const found = await listAudit(config, limit, filter);
  return found.map(({ id, atMs, actor, action, target, details }) => ({
    id,
    at: new Date(atMs).toISOString(),
    actor: { kind: actor.kind, id: actor.id, address: actor.address ?? '' },
    action,
    target,
    details,
  }));
}

async function fromApi(admin: AdminClient, { user, client, sinceMs, limit }: Query): Promise<Entry[]> {
  const since = sinceMs === undefined ? undefined : new Date(sinceMs).toISOString();
  const entries: Entry[] = [];
  for (let before: number | undefined; entries.length < limit;) {
    const page = answerOf(
      await admin.call('listAudit', {
        user,
        client,
        since,
        limit: String(Math.min(pageSize, limit - entries.length)),
        ...(before === undefined ? {} : { before: String(before) }),
      }),
    );
    entries.push(...page.entries);
    if (page.next === undefined) return entries;
    before = page.next;
  }
  return entries;
}

/** Time, actor with address, action, target, details. */
function lineOf({ at, actor, action, target, details }: Entry): string {
  const from = actor.address === '' ? '' : ` (${actor.address})`;
  const more = Object.entries(details).map(([name, value]) => `${name}=${String(value)}`);
  return [at, `${actor.kind} ${actor.id}${from}`, action, target, more.join(' ')].join('  ').trimEnd();
}
