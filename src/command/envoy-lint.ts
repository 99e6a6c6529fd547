import { authorizerSchema } from '../config/authorizer.ts';
import { readDocuments } from '../envoy-lint/documents.ts';
import { lintEnvoy } from '../envoy-lint/lint.ts';
import { defaultLintOptions, type LintOptions } from '../envoy-lint/options.ts';
import { lintRules, type Finding, type Severity } from '../envoy-lint/rules.ts';
import { loadConfig } from '../runtime/config.ts';
import { Fault } from '../runtime/fault.ts';
import { optionalText, parseCommandLine, unknownWord, type Command } from './command.ts';
import { readInput } from './input.ts';

/** The `/config_dump` of a large mesh has tens of megabytes. */
const maxInputBytes = 64 * 1024 * 1024;

export const envoyLintCommand: Command = {
  usage: ['envoy-lint FILE|- [--config AUTHORIZER_FILE] [--ignore RULE[@PATH] …] [--strict] [--json]'],
  run: async (args, { print }) => {
    const parsed = parseCommandLine(
      args,
      {
        config: { type: 'string' },
        ignore: { type: 'string', multiple: true },
        strict: { type: 'boolean' },
        json: { type: 'boolean' },
      },
      { min: 1, max: 1 },
    );
    const [file = ''] = parsed.positionals;
    const ignored = parsed.values['ignore'];
    const isIgnored = ignoring(Array.isArray(ignored) ? ignored : []);
    const options = lintOptions(optionalText(parsed, 'config'));
    const all = findings(file, await readInput(file, maxInputBytes), options);
    const kept = all.filter((one) => !isIgnored(one));
    const counts = countOf(kept);
    print(
      parsed.values['json'] === true
        ? JSON.stringify({ findings: kept, counts, ignored: all.length - kept.length }, null, 2)
        : describe(kept, counts, all.length - kept.length),
    );
    return counts.error > 0 || (parsed.values['strict'] === true && counts.warn > 0) ? 1 : 0;
  },
};

function findings(file: string, text: string, options: LintOptions): readonly Finding[] {
  const read = readDocuments(text);
  if (read.kind === 'unreadable')
    throw new Fault('ERR_CONFIG_INVALID', `${file} is neither YAML nor JSON: ${read.message}`);
  const report = lintEnvoy(read.documents, options);
  if (report.kind === 'unrecognized')
    throw new Fault('ERR_CONFIG_INVALID', `${file} is not an Envoy configuration: ${report.message}`);
  return report.findings;
}

/** Reads from the authorizer's configuration which headers matter to it. */
function lintOptions(configFile: string | undefined): LintOptions {
  if (configFile === undefined) return defaultLintOptions;
  const { token, upstream } = loadConfig({ schema: authorizerSchema, file: configFile });
  const credentials = token.sources.map((source) => ('header' in source ? source.header : 'cookie'));
  const prefix = upstream.prefix.toLowerCase();
  const identity = Object.keys(upstream.headers).map((name) => name.toLowerCase());
  return {
    prefix,
    identity: identity.length > 0 ? identity : [`${prefix}subject`],
    credentials: credentials.map((name) => name.toLowerCase()),
  };
}

function ignoring(given: readonly string[]): (finding: Finding) => boolean {
  const wanted = given.map((text) => {
    const [rule = '', ...path] = text.split('@');
    if (!Object.hasOwn(lintRules, rule))
      throw unknownWord(`--ignore ${rule}: no such rule`, Object.keys(lintRules));
    return { rule, path: path.join('@') };
  });
  return ({ rule, path }) => wanted.some((one) => one.rule === rule && path.startsWith(one.path));
}

function countOf(findings: readonly Finding[]): Record<Severity, number> {
  const counts = { error: 0, warn: 0, info: 0 };
  for (const { severity } of findings) counts[severity] += 1;
  return counts;
}

function describe(
  findings: readonly Finding[],
  { error, warn, info }: Record<Severity, number>,
  ignored: number,
): string {
  const lines = findings.flatMap(({ severity, rule, path, what, why, instead }) => [
    `${severity.padEnd(5)}  ${rule}: ${what}`,
    `       at ${path === '' ? '(top level)' : path}`,
    `       ${why}`,
    `       instead: ${instead}`,
    '',
  ]);
  const hidden = ignored === 0 ? '' : `, ${ignored} ignored`;
  return [...lines, `errors: ${error}, warnings: ${warn}, notes: ${info}${hidden}`].join('\n');
}
