import { parseCommandLine, requiredOption, type Command, type CommandOutput } from '../command/command.ts';
import { Fault, type FaultCode } from '../runtime/fault.ts';
import { describeError, withoutCredentials } from '../runtime/log.ts';
import { versionLine } from '../runtime/version.ts';

type Entry = { readonly name: string; readonly summary: string; load(): Promise<Command> | Command };

const program = (name: string, summary: string, run: (configFile: string) => Promise<number>): Entry => ({
  name,
  summary,
  load: () => ({
    usage: [`${name} --config FILE`],
    run: (args) =>
      run(
        requiredOption(parseCommandLine(args, { config: { type: 'string' } }, { min: 0, max: 0 }), 'config'),
      ),
  }),
});

// Commands are loaded only when they run, so that an authorizer does not load the OpenID provider.
const commands: readonly Entry[] = [
  program('authorizer', 'run the ext_authz server for Envoy', async (file) =>
    (await import('./authorizer.ts')).runAuthorizer(file),
  ),
  program('identity', 'run the OpenID provider, which owns a revocation log', async (file) =>
    (await import('./identity.ts')).runIdentity(file),
  ),
  program('relay', 'run the owner of the revocation log for other identity providers', async (file) =>
    (await import('./relay.ts')).runRelay(file),
  ),
  program('injector', 'run the admission webhook that injects the sidecars', async (file) =>
    (await import('./injector.ts')).runInjector(file),
  ),
  {
    name: 'demo',
    summary: 'run everything on this machine, behind a real Envoy',
    load: async () => (await import('../command/demo.ts')).demoCommand,
  },
  {
    name: 'user',
    summary: "manage identity's accounts",
    load: async () => (await import('../command/user.ts')).userCommand,
  },
  {
    name: 'keys',
    summary: "manage identity's signing keys",
    load: async () => (await import('../command/keys.ts')).keysCommand,
  },
  {
    name: 'revoke',
    summary: 'revoke a session, a token, a subject, a client, a key or everything',
    load: async () => (await import('../command/revoke.ts')).revokeCommand,
  },
  {
    name: 'audit',
    summary: 'list changes of accounts, sessions and keys, with who made them',
    load: async () => (await import('../command/audit.ts')).auditCommand,
  },
  {
    name: 'log',
    summary: 'create a revocation log without an owner, or show one',
    load: async () => (await import('../command/log.ts')).logCommand,
  },
  {
    name: 'watch',
    summary: "show revocations, and changes of the log's state, as they happen",
    load: async () => (await import('../command/watch.ts')).watchCommand,
  },
  {
    name: 'token',
    summary: 'decode a token, or explain the decision of an authorizer about it',
    load: async () => (await import('../command/token.ts')).tokenCommand,
  },
  {
    name: 'envoy-config',
    summary: 'print the recommended Envoy configuration for an authorizer',
    load: async () => (await import('../command/envoy-config.ts')).envoyConfigCommand,
  },
  {
    name: 'envoy-lint',
    summary: 'find risky settings around ext_authz in an Envoy configuration',
    load: async () => (await import('../command/envoy-lint.ts')).envoyLintCommand,
  },
  {
    name: 'check',
    summary: 'list running pods that should be protected and are not',
    load: async () => (await import('../command/check.ts')).checkCommand,
  },
  {
    name: 'config',
    summary: 'validate a configuration file, or print its JSON Schema',
    load: async () => (await import('../command/config.ts')).configCommand,
  },
];

const output: CommandOutput = {
  print: (line) => void process.stdout.write(`${line}\n`),
  warn: (line) => void process.stderr.write(`${line}\n`),
};

/** The maximum interval that Node accepts. */
const maxTimerMs = 2 ** 31 - 1;

const usageCodes: ReadonlySet<FaultCode> = new Set([
  'ERR_USAGE',
  'ERR_CONFIG_INVALID',
  'ERR_CONFIG_UNREADABLE',
]);

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    output.print(overview());
    return name === undefined ? 2 : 0;
  }
  if (name === 'version' || name === '--version') {
    output.print(versionLine('curfew'));
    return 0;
  }
  const entry = commands.find((candidate) => candidate.name === name);
  if (entry === undefined) {
    output.warn(`curfew: no such command: ${name}\n\n${overview()}`);
    return 2;
  }
  const command = await entry.load();
  if (args.includes('--help') || args.includes('-h')) {
    output.print(command.usage.map((line) => `usage: bin/curfew ${line}`).join('\n'));
    return 0;
  }
  return runCommand(command, args);
}

async function runCommand(command: Command, args: readonly string[]): Promise<number> {
  // Fetches of keys and connections to Redis don't keep Node running. Without this timer, Node exits with
  // code 13 when a command waits for nothing else.
  const keepAlive = setInterval(() => undefined, maxTimerMs);
  try {
    return await command.run(args, output);
  } catch (thrown) {
    output.warn(`curfew: ${thrown instanceof Fault ? withCause(thrown) : unexpected(thrown)}`);
    if (!(thrown instanceof Fault)) return 1;
    if (thrown.code === 'ERR_USAGE')
      output.warn(command.usage.map((line) => `usage: bin/curfew ${line}`).join('\n'));
    return usageCodes.has(thrown.code) ? 2 : 1;
  } finally {
    clearInterval(keepAlive);
  }
}

const withCause = (fault: Fault): string => {
  const cause = fault.cause instanceof Error ? `: ${describeError(fault.cause).message}` : '';
  return withoutCredentials(`${fault.message}${cause}`);
};

function unexpected(thrown: unknown): string {
  const { name, code, message } = describeError(thrown);
  const where =
    thrown instanceof Error ? withoutCredentials(thrown.stack?.split('\n').slice(1, 4).join('\n') ?? '') : '';
  return `unexpected ${name}${code === undefined ? '' : ` (${code})`}: ${message}\n${where}`;
}

function overview(): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    'usage: bin/curfew COMMAND',
    '',
    ...lines,
    '',
    'bin/curfew COMMAND --help shows the arguments of a command; bin/curfew --version shows the version.',
  ].join('\n');
}

process.exitCode = await main(process.argv.slice(2));
