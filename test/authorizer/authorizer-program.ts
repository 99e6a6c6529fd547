import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { parseAddress, type Address } from '../../src/runtime/address.ts';
import { outputFile } from '../output.ts';
import { eventually, startCurfew, tail, type RunningProgram } from '../processes.ts';
import { freePort } from '../processes.ts';
import { jwkSetOf, testIssuer, testKey } from '../token/tokens.ts';

export type AuthorizerProgram = {
  /** Where Envoy finds it. */
  readonly address: Address;
  /** The folder of its files; its working directory is elsewhere. */
  readonly folder: string;
  readonly program: RunningProgram;
  readyz(): Promise<{ ready: boolean; parts: Record<string, unknown> }>;
  status(): Promise<Record<string, unknown>>;
  metrics(): Promise<string>;
  /** Its log so far, one object a line. */
  log(): Record<string, unknown>[];
  stop(): Promise<number | NodeJS.Signals>;
};

/** The issuer of `issueToken`, with the key in a file. */
export const fileIssuer = (folder: string, overrides: Record<string, unknown> = {}) => {
  const file = join(folder, 'jwks.json');
  writeFileSync(file, jwkSetOf(testKey()));
  return { issuer: testIssuer, audiences: ['orders'], algorithms: ['RS256'], jwks: { file }, ...overrides };
};

/** Starts `bin/curfew authorizer` on a Unix socket in the folder. Resolves when it listens, ready or not. */
export async function startAuthorizer(
  folder: string,
  config: Record<string, unknown>,
  name = 'authorizer',
): Promise<AuthorizerProgram> {
  const admin = `127.0.0.1:${await freePort()}`;
  const listen = `unix://${join(folder, `${name}.sock`)}`;
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, stringify({ listen, admin, log: { level: 'debug', decisions: 'all' }, ...config }));
  const program = startCurfew(name, ['authorizer', '--config', file]);
  const ended = program.exited.then((code) => {
    throw new Error(`${name} ended with ${code}:\n${tail(program.printed())}`);
  });
  ended.catch(() => {});
  const log = (): Record<string, unknown>[] =>
    program
      .printed()
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const listening = eventually(`${name} listens`, () =>
    log().find(({ msg }) => msg === 'authorizer listening'),
  );
  const { address } = await Promise.race([listening, ended]);
  const answers = outputFile(`${name}-admin`);
  const get = async (path: string): Promise<string> => {
    const text = await (await fetch(`http://${admin}${path}`)).text();
    appendFileSync(answers, `${path}\n${text}\n`);
    return text;
  };

  return {
    address: parseAddress(String(address)) ?? { kind: 'unix', path: '' },
    folder,
    program,
    readyz: async () =>
      JSON.parse(await get('/readyz')) as { ready: boolean; parts: Record<string, unknown> },
    status: async () => JSON.parse(await get('/status')) as Record<string, unknown>,
    metrics: () => get('/metrics'),
    log,
    stop: () => program.stop(),
  };
}

export const untilReady = (authorizer: AuthorizerProgram): Promise<true> =>
  eventually('the authorizer is ready', async () => ((await authorizer.readyz()).ready ? true : undefined));
