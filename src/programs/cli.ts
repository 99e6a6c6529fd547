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

// Each is loaded when it is run: a sidecar has no use for an OpenID provider in memory.
const commands: readonly Entry[] = [
  program('authorizer', 'the ext_authz server beside Envoy', async (file) =>
    (await import('./authorizer.ts')).runAuthorizer(file),
  ),
  program('identity', 'the identity deployment', async (file) =>
    (await import('./identity.ts')).runIdentity(file),
  ),
  program('relay', 'the owner of the revocation log for other identity providers', async (file) =>
    (await import('./relay.ts')).runRelay(file),
  ),
  program('injector', 'the admission webhook', async (file) =>
    (await import('./injector.ts')).runInjector(file),
  ),
  {
    name: 'demo',
    summary: 'run everything on this machine, behind a real Envoy',
    load: async () => (await import('../command/demo.ts')).demoCommand,
  },
  {
    name: 'user',
    summary: "identity's accounts",
    load: async () => (await import('../command/user.ts')).userCommand,
  },
  {
    name: 'keys',
    summary: "identity's signing keys",
    load: async () => (await import('../command/keys.ts')).keysCommand,
  },
  {
    name: 'revoke',
    summary: 'end a session, or refuse a token, a subject, a client, a key or everything',
    load: async () => (await import('../command/revoke.ts')).revokeCommand,
  },
  {
    name: 'audit',
    summary: 'who did what to accounts, sessions and keys',
    load: async () => (await import('../command/audit.ts')).auditCommand,
  },
  {
    name: 'log',
    summary: 'make a revocation log that Redis alone keeps, or look at one',
    load: async () => (await import('../command/log.ts')).logCommand,
  },
  {
    name: 'watch',
    summary: 'show revocations, and the state of the view, as they happen',
    load: async () => (await import('../command/watch.ts')).watchCommand,
  },
  {
    name: 'token',
    summary: 'decode a token, or say what the authorizer decides about it and why',
    load: async () => (await import('../command/token.ts')).tokenCommand,
  },
  {
    name: 'envoy-config',
    summary: 'print the Envoy configuration we recommend for an authorizer',
    load: async () => (await import('../command/envoy-config.ts')).envoyConfigCommand,
  },
  {
    name: 'envoy-lint',
    summary: 'find the risky settings around ext_authz in an Envoy configuration',
    load: async () => (await import('../command/envoy-lint.ts')).envoyLintCommand,
  },
  {
    name: 'check',
    summary: 'list running pods that ask for the sidecars and lack them',
    load: async () => (await import('../command/check.ts')).checkCommand,
  },
  {
    name: 'config',
    summary: 'check a configuration file, or print its JSON Schema',
    load: async () => (await import('../command/config.ts')).configCommand,
  },
];

const output: CommandOutput = {
  print: (line) => void process.stdout.write(`${line}\n`),
  warn: (line) => void process.stderr.write(`${line}\n`),
};

/** The longest interval that Node accepts. */
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
    'bin/curfew COMMAND --help shows its arguments; bin/curfew --version shows what is installed.',
  ].join('\n');
}

process.exitCode = await main(process.argv.slice(2));
