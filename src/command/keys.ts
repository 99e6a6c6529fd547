import { identitySchema } from '../config/identity.ts';
import { listKeys, revokeKey, rotateKeys } from '../identity/key/commands.ts';
import { loadConfig } from '../runtime/config.ts';
import { optionalText, parseCommandLine, requiredOption, usageFault, type Command } from './command.ts';

export const keysCommand: Command = {
  usage: [
    'keys list --config IDENTITY_FILE [--json]',
    'keys rotate --config IDENTITY_FILE [--json]',
    'keys revoke KID --config IDENTITY_FILE [--reason WORD] [--json]',
  ],
  run: async (args, { print, warn }) => {
    const parsed = parseCommandLine(
      args,
      { config: { type: 'string' }, reason: { type: 'string' }, json: { type: 'boolean' } },
      { min: 1, max: 2 },
    );
    const [verb = '', id] = parsed.positionals;
    const config = loadConfig({ schema: identitySchema, file: requiredOption(parsed, 'config') });
    const asJson = parsed.values['json'] === true;
    if (verb === 'list' && id === undefined) {
      const keys = await listKeys(config);
      const rows = keys.map(({ id: keyId, algorithm, state, createdAtMs, isEncrypted }) => ({
        id: keyId,
        algorithm,
        state,
        created: new Date(createdAtMs).toISOString(),
        stored: isEncrypted ? 'encrypted' : 'not encrypted',
      }));
      const lines = rows.map((row) => Object.values(row).join('  '));
      print(
        asJson
          ? JSON.stringify(rows)
          : lines.join('\n') || 'no keys yet: identity makes one at its first start',
      );
      return 0;
    }
    if (verb === 'rotate' && id === undefined) {
      const added = await rotateKeys(config);
      print(
        asJson
          ? JSON.stringify({ id: added })
          : `key ${added} added; it signs in ten minutes, when everybody knows it`,
      );
      return 0;
    }
    if (verb !== 'revoke' || id === undefined) throw usageFault('keys list, keys rotate, or keys revoke KID');
    const { isPublished, seq, isKnown } = await revokeKey(config, id, optionalText(parsed, 'reason'));
    if (!isKnown) warn(`key ${id} is not stored here; its revocation is recorded all the same`);
    if (asJson) print(JSON.stringify({ id, published: isPublished, seq, known: isKnown }));
    else if (isPublished) print(`key ${id} revoked, seq ${seq ?? '?'}, log ${config.revocation.log}`);
    else warn(`key ${id}: recorded, but not yet published: is identity running, and Redis?`);
    return isPublished ? 0 : 1;
  },
};
