import { parseArgs, type ParseArgsConfig } from 'node:util';
import { Fault } from '../runtime/fault.ts';

/** One command of `bin/curfew`. */
export type Command = {
  /** The arguments as `--help` shows them, one line per form. */
  readonly usage: readonly string[];
  /** @returns the exit code: 0 success, 1 refused or failed, 2 wrong usage or configuration */
  run(args: readonly string[], output: CommandOutput): Promise<number>;
};

export type CommandOutput = {
  print(line: string): void;
  /** Prints to standard error, for people; machine-readable output goes to standard output. */
  warn(line: string): void;
};

/** What a command prints, as text or with `--json`, and what it exits with. */
export type CommandReport = { readonly exitCode: number; readonly line: string; readonly json: unknown };

/** The options and the arguments of a command line. */
export type ParsedArguments = {
  values: Record<string, string | boolean | string[] | undefined>;
  positionals: string[];
};

/**
 * Parses the arguments of a command; unknown options are refused. An argument that begins with a single
 * hyphen is an id.
 * @throws ERR_USAGE, which names the wrong argument
 */
export function parseCommandLine(
  args: readonly string[],
  options: ParseArgsConfig['options'],
  positionals: { min: number; max: number },
): ParsedArguments {
  let parsed: ParsedArguments;
  try {
    const result = parseArgs({
      args: withDashedIdsLast(args),
      options: options ?? {},
      allowPositionals: true,
      strict: true,
    });
    parsed = { values: result.values as ParsedArguments['values'], positionals: result.positionals };
  } catch (thrown) {
    throw usageFault(thrown instanceof Error ? (thrown.message.split('. ', 1)[0] ?? '') : 'wrong arguments');
  }
  const { length } = parsed.positionals;
  if (length < positionals.min) throw usageFault('an argument is missing');
  if (length > positionals.max)
    throw usageFault(`too many arguments: ${parsed.positionals.slice(positionals.max).join(' ')}`);
  return parsed;
}

/** No option begins with a single hyphen, but one in 64 ids does. */
function withDashedIdsLast(args: readonly string[]): string[] {
  if (args.includes('--')) return [...args];
  const isDashedId = (text: string): boolean => /^-[^-]{2}/.test(text);
  return [...args.filter((text) => !isDashedId(text)), '--', ...args.filter(isDashedId)];
}

export const usageFault = (message: string): Fault => new Fault('ERR_USAGE', message);

/**
 * A fault for a word that isn't one of those a command knows.
 * @param what the wrong word, with its context
 */
export const unknownWord = (what: string, expected: readonly string[]): Fault =>
  usageFault(`${what}: expected one of ${expected.join(', ')}`);

/** The value of a mandatory option. @throws ERR_USAGE */
export function requiredOption(parsed: ParsedArguments, name: string): string {
  const value = parsed.values[name];
  if (typeof value !== 'string' || value === '') throw usageFault(`--${name} is missing`);
  return value;
}

export function optionalText(parsed: ParsedArguments, name: string): string | undefined {
  const value = parsed.values[name];
  return typeof value === 'string' ? value : undefined;
}
