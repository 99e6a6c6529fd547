// Collects every message that src logs, and writes docs/log-messages.md.
//
//   node scripts/setup.mjs scripts/log-messages.ts            writes the page
//   node scripts/setup.mjs scripts/log-messages.ts --check    fails if the page differs from what src logs
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { importedFile, sourceFiles } from './check-imports.ts';

/** One call of a log. */
export type LogCall = {
  /** Path and line, such as `runtime/lifecycle.ts:74`. */
  readonly place: string;
  readonly file: string;
  readonly levels: readonly string[];
  /** What it may write: one message, or a few that are all constant. Empty if the message isn't constant. */
  readonly messages: readonly string[];
};

/** A message that an operator may find in a log. */
export type LogMessage = {
  readonly message: string;
  readonly levels: readonly string[];
  readonly programs: readonly string[];
  readonly files: readonly string[];
};

const levelNames = ['debug', 'info', 'warn', 'error'];
const programs = ['authorizer', 'identity', 'relay', 'injector'];

const callPattern = /\blog\s*(?:\.\s*(?<level>debug|info|warn|error)|\[(?<chosen>[^\]]+)\])\s*\(\s*/g;
const literal = String.raw`'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|` + '`(?:[^`\\\\$]|\\\\.|\\$(?!\\{))*`';
const literalOnly = new RegExp(`^(?:${literal})\\s*[,;)}]`);
const choice = new RegExp(`^[^?;{}]{1,200}\\?\\s*(?<yes>${literal})\\s*:\\s*(?<no>${literal})\\s*[,;)]`);
const nameOnly = /^(?<name>\w+)\s*(?<member>\[[^\]]+\]|\.\w+)?\s*[,)]/;

/** The calls of a log in one source file, in order. */
export function logCallsIn(file: string, text: string): LogCall[] {
  return Array.from(text.matchAll(callPattern), (call) => {
    const { level, chosen = '' } = call.groups ?? {};
    const line = text.slice(0, call.index).split('\n').length;
    return {
      place: `${file}:${line}`,
      file,
      levels: level === undefined ? levelsOf(chosen, text.slice(0, call.index)) : [level],
      messages: messagesOf(text.slice(call.index + call[0].length), text),
    };
  });
}

/** The levels that a computed level may have. @param before the text before the call */
function levelsOf(chosen: string, before: string): string[] {
  const [, declared = ''] =
    Array.from(before.matchAll(new RegExp(`const ${chosen.trim()} =([^;]*);`, 'g'))).at(-1) ?? [];
  const source = chosen.includes("'") ? chosen : declared;
  return levelNames.filter((name) => source.includes(`'${name}'`));
}

/**
 * The messages that an expression may be: a literal, a choice of two, a constant of the file, or a member of
 * a constant table of the file. Empty for anything else.
 */
function messagesOf(expression: string, text: string): string[] {
  if (literalOnly.test(expression)) return [valueOf(new RegExp(literal).exec(expression)?.[0] ?? '')];
  const { yes, no } = choice.exec(expression)?.groups ?? {};
  if (yes !== undefined && no !== undefined) return [valueOf(yes), valueOf(no)];
  const { name, member } = nameOnly.exec(expression)?.groups ?? {};
  if (name === undefined) return [];
  if (member === undefined) {
    const declared = Array.from(text.matchAll(new RegExp(`\\bconst ${name}(?:: \\w+)? =\\s*`, 'g')));
    return declared.flatMap((at) => messagesOf(text.slice(at.index + at[0].length), ''));
  }
  const [, table = ''] = new RegExp(`^const ${name}\\b[^=]*= \\{\\n(.*?)\\n\\}`, 'ms').exec(text) ?? [];
  return Array.from(table.matchAll(new RegExp(`:\\s*(${literal}),`, 'g')), ([, value = '']) =>
    valueOf(value),
  );
}

const valueOf = (text: string): string => text.slice(1, -1).replaceAll(/\\(.)/g, '$1');

/** Every call of a log in src. @param files the text of each source file, by its path in src */
export const logCalls = (files: ReadonlyMap<string, string>): LogCall[] =>
  [...files].flatMap(([file, text]) => logCallsIn(file, text));

/** The messages in order, each with the levels it is written at, and the programs that contain it. */
export function logMessages(files: ReadonlyMap<string, string>): LogMessage[] {
  const byMessage = Map.groupBy(
    logCalls(files).flatMap((call) => call.messages.map((message) => ({ message, call }))),
    ({ message }) => message,
  );
  const contents = programs.map((program) => ({
    program,
    files: reachable(`programs/${program}.ts`, files),
  }));
  const all = [...byMessage].map(([message, found]): LogMessage => {
    const names = [...new Set(found.map(({ call }) => call.file))];
    return {
      message,
      levels: levelNames.filter((name) => found.some(({ call }) => call.levels.includes(name))),
      programs: contents.filter((one) => names.some((name) => one.files.has(name))).map((one) => one.program),
      files: names.toSorted(),
    };
  });
  return all.toSorted((one, other) => compare(sortKey(one), sortKey(other)));
}

const compare = (one: string, other: string): number => (one < other ? -1 : Number(one > other));
const sortKey = ({ message }: LogMessage): string =>
  `${message.replaceAll(/\W/g, '').toLowerCase()} ${message}`;

/** The files that a program loads. An import of types loads nothing. */
function reachable(start: string, files: ReadonlyMap<string, string>): Set<string> {
  const found = new Set<string>();
  const waiting = [start];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (found.has(file)) continue;
    found.add(file);
    const loads = (files.get(file) ?? '').matchAll(
      /^(?:import|export)\b(?! type\b)[^;]*?\bfrom '([^']+)'|^import '([^']+)'|^[^*/]*\bawait import\('([^']+)'\)/gm,
    );
    for (const [, from, run, loaded] of loads) {
      const target = importedFile(file, String(from ?? run ?? loaded));
      if (target !== undefined) waiting.push(target);
    }
  }
  return found;
}

/** The page for operators. */
export function logMessagePage(messages: readonly LogMessage[]): string {
  const rows = messages.map(
    ({ message, levels, programs: names, files }) =>
      `| ${message.replaceAll('|', '\\|')} | ${levels.join(', ')} | ${names.length === programs.length ? 'all' : names.join(', ') || 'curfew'} | ${files.map((file) => `\`${file}\``).join(', ')} |`,
  );
  return `${head}\n| message | level | program | source in \`src/\` |\n| --- | --- | --- | --- |\n${rows.join('\n')}\n`;
}

const head = `# Log messages

<!-- Generated by \`node scripts/setup.mjs scripts/log-messages.ts\`; don't edit. -->

Every line of a program's log is a JSON object on standard output: \`time\`, \`level\`, \`program\`, the message in \`msg\`,
and fields with the values. The text of a message is constant, so you can search for it and alert on it; the values are
in the fields. This page lists every message.

- \`error\`: something that only an operator can repair, or a defect.
- \`warn\`: the program goes on, with less than it should have.
- \`info\`: what happens once, or seldom.
- \`debug\`: what happens often. Set \`log.level: debug\` to see it.
`;

/** @param root the checkout */
export const pageFile = (root = join(import.meta.dirname, '..')): string =>
  join(root, 'docs', 'log-messages.md');

if (import.meta.main) {
  const page = logMessagePage(logMessages(sourceFiles()));
  if (!process.argv.includes('--check')) writeFileSync(pageFile(), page);
  else if (readFileSync(pageFile(), 'utf8') !== page) {
    console.error(
      'docs/log-messages.md is not up to date; run: node scripts/setup.mjs scripts/log-messages.ts',
    );
    process.exitCode = 1;
  }
}
