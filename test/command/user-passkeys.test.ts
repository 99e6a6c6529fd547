import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAuthenticator } from '../identity/authenticator.ts';
import { clients, password, startIdentity, type TestIdentity } from '../identity/identity-server.ts';
import { addPasskey, atLocalhost, logInAtAccount } from '../identity/passkey-flows.ts';
import { curfew, type Outcome } from './curfew.ts';

describe('curfew user, with passkeys', () => {
  const directory = mkdtempSync(join(tmpdir(), 'curfew-passkeys-'));
  const config = join(directory, 'identity.yaml');
  let identity: TestIdentity;

  beforeAll(async () => {
    identity = await startIdentity(await atLocalhost(), { directory });
    const { issuer } = identity;
    const database = { sqlite: join(directory, 'identity.db') };
    const redis = { url: 'redis://127.0.0.1:1' };
    writeFileSync(config, JSON.stringify({ issuer, database, redis, clients, resources: { orders: {} } }));
  });
  afterAll(async () => {
    await identity.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const user = (...args: string[]): Promise<Outcome> =>
    curfew(['user', ...args, '--config', config], { input: `${password}\n` });

  async function addPerson(username: string, passkeys: readonly string[]): Promise<void> {
    await identity.addUser(username);
    const at = await logInAtAccount(identity, username);
    const authenticator = createAuthenticator(identity.issuer);
    for (const name of passkeys) await addPasskey(identity, at, authenticator, { name });
  }

  const namesOf = async (username: string): Promise<string[]> => {
    const { printed } = await user('passkeys', username, '--json');
    return (JSON.parse(printed) as { name: string }[]).map(({ name }) => name);
  };

  it('lists them, and removes one or all', async () => {
    await addPerson('ada', ['Laptop', 'Telephone', 'Spare']);
    const { printed } = await user('passkeys', 'Ada');
    expect(printed.split('\n')[0]).toMatch(/^[0-9a-f-]{36} {2}\S+Z {2}never used {2}one device {2}Laptop$/);
    const [id = ''] = printed.split(' ');
    expect(await user('passkeys', 'ada', '--remove', id)).toMatchObject({
      exitCode: 0,
      printed: '1 passkey removed\n',
    });
    expect(await namesOf('ada')).toEqual(['Telephone', 'Spare']);
    expect(await user('passkeys', 'ada', '--remove', id)).toMatchObject({
      exitCode: 1,
      warned: expect.stringContaining('has no passkey'),
    });
    expect((await user('passkeys', 'ada', '--remove', 'all')).printed).toBe('2 passkeys removed\n');
    expect((await user('passkeys', 'ada')).printed).toBe('no passkeys\n');
    expect(await user('passkeys', 'nobody')).toMatchObject({ exitCode: 1 });
  });

  it('says what happens to them when the password changes', async () => {
    await addPerson('grace', ['Laptop']);
    expect((await user('passwd', 'grace', '--keep-passkeys')).printed).toContain('changed, 1 passkey kept');
    expect(await namesOf('grace')).toEqual(['Laptop']);
    expect((await user('passwd', 'grace')).printed).toContain('changed, 1 passkey removed');
    expect(await namesOf('grace')).toEqual([]);
  });

  it('accepts an option only with its verb', async () => {
    expect(await user('disable', 'grace', '--keep-passkeys')).toMatchObject({
      exitCode: 2,
      warned: expect.stringContaining('--keep-passkeys is only for user passwd'),
    });
    expect(await user('sessions', 'grace', '--remove', 'all')).toMatchObject({ exitCode: 2 });
  });
});
