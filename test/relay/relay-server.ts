import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { stringify } from 'yaml';
import { relaySchema, type RelayConfig } from '../../src/config/relay.ts';
import { outboxMigrations } from '../../src/publisher/outbox.ts';
import { receiverMigrations } from '../../src/receivers/receivers.ts';
import { createHeartbeatStore } from '../../src/receivers/store/heartbeat-store.ts';
import { migrate, openDatabase } from '../../src/database/database.ts';
import { createRelay } from '../../src/programs/relay.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { createLog } from '../../src/runtime/log.ts';
import { createRegistry } from '../../src/runtime/metrics.ts';
import { neverPrinted, outputFile } from '../output.ts';
import { eventually, freePort, repository, startProgram, tail, type RunningProgram } from '../processes.ts';
import { webhookSecretText } from '../receivers/senders.ts';
import { jwkSetOf, testIssuer, testKey } from '../token/tokens.ts';

export type Sent = { readonly status: number; readonly headers: Headers; readonly body: string };

/** A relay, in this process or in one of its own. */
export type TestRelay = {
  readonly config: RelayConfig;
  readonly url: string;
  readonly admin: string;
  /** Path of its database. */
  readonly sqlite: string;
  post(path: string, body: string | Buffer, headers: Record<string, string>): Promise<Sent>;
  readyz(): Promise<{ ready: boolean; parts: { revocation: { role: string } } }>;
  metric(line: string): Promise<number>;
  logged(): string;
  stop(): Promise<void>;
};

/** The receivers the tests use, one of each kind. Each sender is taken to try for an hour. */
export const receivers = [
  { kind: 'set-push', path: '/events', issuer: testIssuer, audience: 'https://relay.test', redelivery: '1h' },
  { kind: 'backchannel-logout', path: '/logout', issuer: testIssuer, audience: ['web'], redelivery: '1h' },
  { kind: 'fusionauth', path: '/fusionauth', issuer: testIssuer, redelivery: '1h' },
  {
    kind: 'webhook',
    path: '/webhook',
    issuer: testIssuer,
    secrets: [webhookSecretText],
    kinds: ['session', 'subject', 'key', 'token', 'client', 'issuer'],
    redelivery: '1h',
  },
];

export type RelayFolder = { readonly folder: string; readonly settings: Record<string, unknown> };

/** A folder with a database, the issuer's keys in a file, and a configuration with free ports. */
export async function relayFolder(overrides: Record<string, unknown> = {}): Promise<RelayFolder> {
  const folder = mkdtempSync(join(tmpdir(), 'curfew-relay-'));
  const [port, admin, dead] = [await freePort(), await freePort(), await freePort()];
  const jwks = join(folder, 'jwks.json');
  writeFileSync(jwks, jwkSetOf(testKey()));
  neverPrinted(webhookSecretText);
  return {
    folder,
    settings: {
      listen: `127.0.0.1:${port}`,
      admin: `127.0.0.1:${admin}`,
      database: { sqlite: join(folder, 'relay.db') },
      redis: { url: `redis://127.0.0.1:${dead}` },
      issuers: [{ issuer: testIssuer, jwks: { file: jwks }, algorithms: ['RS256'] }],
      receivers,
      log: { level: 'debug' },
      ...overrides,
    },
  };
}

/** Makes it look as if a relay had run there until now: then its start calls for no cut-off. */
export async function listenedUntilNow({ folder }: RelayFolder, issuers = [testIssuer]): Promise<void> {
  const database = openDatabase({ sqlite: join(folder, 'relay.db') });
  await migrate(database, [outboxMigrations, receiverMigrations]);
  const store = createHeartbeatStore(database);
  await database.db.transaction().execute(async (trx) => await store.beat(trx, issuers));
  await database.close();
}

/** Starts a relay in this process. Without `redis` there is none to reach. */
export async function startRelay(
  overrides: Record<string, unknown> = {},
  place?: RelayFolder,
): Promise<TestRelay> {
  const here = place ?? (await relayFolder(overrides));
  const { folder, settings } = here;
  if (place === undefined) await listenedUntilNow(here);
  const config = v.parse(relaySchema, { ...settings, ...overrides });
  let logged = '';
  const file = outputFile('relay');
  const write = (line: string): void => {
    logged += line;
    appendFileSync(file, line);
  };
  const log = createLog({ program: 'relay', level: 'debug', destination: { write } });
  const lifecycle = createRelay(config, { log, registry: createRegistry(), clock: systemClock });
  await lifecycle.start();
  return {
    ...clientOf(config, folder),
    logged: () => logged,
    stop: async () => {
      await lifecycle.stop();
      if (place === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Starts a relay as a program of its own and waits until it is ready. */
export async function startRelayProgram(
  place: RelayFolder,
): Promise<Omit<TestRelay, 'stop'> & { program: RunningProgram }> {
  const file = join(place.folder, 'relay.yaml');
  writeFileSync(file, stringify(place.settings));
  const script = `const { runRelay } = await import(${JSON.stringify(join(repository, 'src', 'programs', 'relay.ts'))});
process.exitCode = await runRelay(${JSON.stringify(file)});`;
  const program = startProgram('relay', process.execPath, ['--input-type=module', '--eval', script]);
  const client = clientOf(v.parse(relaySchema, place.settings), place.folder);
  const ended = program.exited.then((code) => {
    throw new Error(`the relay ended with ${code}:\n${tail(program.printed())}`);
  });
  ended.catch(() => {});
  const ready = eventually('the relay is ready', async () => {
    const answer = await client.readyz().catch(() => undefined);
    return answer?.ready === true ? true : undefined;
  });
  await Promise.race([ready, ended]);
  return { ...client, logged: program.printed, program };
}

function clientOf(config: RelayConfig, folder: string): Omit<TestRelay, 'stop' | 'logged'> {
  const { listen } = config;
  const port = listen.kind === 'tcp' ? listen.port : 0;
  const url = `http://127.0.0.1:${port}`;
  const admin = `http://127.0.0.1:${config.admin.port}`;
  return {
    config,
    url,
    admin,
    sqlite: join(folder, 'relay.db'),
    post: async (path, body, headers) => {
      const response = await fetch(`${url}${path}`, {
        method: 'POST',
        body: new Uint8Array(Buffer.from(body)),
        headers,
      });
      return { status: response.status, headers: response.headers, body: await response.text() };
    },
    readyz: async () =>
      (await (await fetch(`${admin}/readyz`)).json()) as Awaited<ReturnType<TestRelay['readyz']>>,
    metric: async (line) => {
      const text = await (await fetch(`${admin}/metrics`)).text();
      const found = text.split('\n').find((one) => one.startsWith(`${line} `));
      return Number(found?.slice(line.length + 1) ?? 0);
    },
  };
}

/** Waits until the relay writes the log. */
export const untilLeading = (relay: Pick<TestRelay, 'readyz'>): Promise<true> =>
  eventually('the relay leads', async () =>
    (await relay.readyz()).parts.revocation.role === 'leading' ? true : undefined,
  );
