import { text } from 'node:stream/consumers';
import { decodeToken, explainToken, type Explanation } from '../check/explain.ts';
import { authorizerSchema } from '../config/authorizer.ts';
import {
  createConfiguredCheck,
  createAuthorizerParts,
  type AuthorizerParts,
} from '../assembly/authorizer-parts.ts';
import { systemClock } from '../runtime/clock.ts';
import { loadConfig } from '../runtime/config.ts';
import { createLog } from '../runtime/log.ts';
import { createAuthorizerMetrics, createRegistry } from '../runtime/metrics.ts';
import { optionalText, parseCommandLine, usageFault, type Command } from './command.ts';

const maxInputCharacters = 64 * 1024;
/** Waits so long for the revocation log. If it isn't complete by then, the answer says so. */
const syncTimeoutMs = 5000;

export const tokenCommand: Command = {
  usage: ['token inspect [--config AUTHORIZER_FILE] [--route KEY=VALUE …] [--json] < TOKEN'],
  run: async (args, { print }) => {
    const parsed = parseCommandLine(
      args,
      { config: { type: 'string' }, route: { type: 'string', multiple: true }, json: { type: 'boolean' } },
      { min: 1, max: 1 },
    );
    if (parsed.positionals[0] !== 'inspect') throw usageFault('use token inspect');
    const token = await readToken();
    const asJson = parsed.values['json'] === true;
    const file = optionalText(parsed, 'config');
    if (file === undefined) {
      const decoded = decodeToken(token);
      print(asJson ? JSON.stringify(decoded) : partLines(decoded).join('\n'));
      return decoded.claims === undefined ? 1 : 0;
    }
    const routes = parsed.values['route'];
    const found = await explain(token, file, routeOf(Array.isArray(routes) ? routes : []));
    print(asJson ? JSON.stringify(found) : describe(found));
    return found.decision === 'allow' ? 0 : 1;
  },
};

async function readToken(): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write('Paste the token, then end the input (Ctrl-D):\n');
  const token = (await text(process.stdin)).trim();
  if (token === '') throw usageFault('no token was given on standard input');
  if (token.length > maxInputCharacters) throw usageFault('the input is too long for a token');
  return token;
}

function routeOf(settings: readonly string[]): Map<string, string> {
  const pairs = settings.map((setting): [string, string] => {
    const at = setting.indexOf('=');
    if (at < 1) throw usageFault('--route must be KEY=VALUE, such as curfew.scopes=read');
    return [setting.slice(0, at), setting.slice(at + 1)];
  });
  return new Map(pairs);
}

type Found = Explanation & { revocations: string };

async function explain(token: string, file: string, route: ReadonlyMap<string, string>): Promise<Found> {
  const config = loadConfig({ schema: authorizerSchema, file });
  const log = createLog({ program: 'curfew', level: 'silent' });
  const metrics = createAuthorizerMetrics(createRegistry());
  const dependencies = { config, clock: systemClock, log, metrics };
  const authorizerParts = createAuthorizerParts(dependencies);
  try {
    await start(authorizerParts);
    const check = createConfiguredCheck(dependencies, authorizerParts);
    const explanation = await explainToken({ token, check, sources: config.token.sources, route });
    return { ...explanation, revocations: describeLog(authorizerParts, explanation.claims?.['iss']) };
  } finally {
    for (const { keySet } of authorizerParts.issuers) keySet.stop();
    await authorizerParts.feed?.stop();
  }
}

async function start({ issuers, feed }: AuthorizerParts): Promise<void> {
  await Promise.all([...issuers.map(({ keySet }) => keySet.start()), feed?.start()]);
  await feed?.waitForSync(syncTimeoutMs);
}

/** The state of the revocation log, and why it proves nothing about this issuer, if so. */
function describeLog({ feed }: AuthorizerParts, issuer: unknown): string {
  if (feed === undefined) return 'not configured';
  const { state, unproven } = feed.status();
  const cause = unproven.find((one) => one.issuer === issuer)?.cause;
  return cause === undefined ? state : `${state}, but it proves nothing about this issuer (${cause})`;
}

function describe(found: Found): string {
  const detail = [
    ['claim', found.claim],
    ['expected', found.expected],
    ['found', found.found],
  ].flatMap(([name, value]) => (value === undefined ? [] : [`  ${name}: ${value}`]));
  return [
    ...partLines(found),
    '',
    `decision: ${found.decision}${found.reason === undefined ? '' : ` (${found.reason})`}`,
    `  rule: ${found.rule}`,
    ...detail,
    `  revocation log: ${found.revocations}`,
  ].join('\n');
}

function partLines({ header, claims }: Pick<Explanation, 'header' | 'claims'>): string[] {
  const part = (name: string, value: unknown): string =>
    value === undefined ? `${name}: cannot be read` : `${name}: ${JSON.stringify(value, null, 2)}`;
  return [part('header', header), part('claims', claims)];
}
