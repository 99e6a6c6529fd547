import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { parseDocument } from 'yaml';
import { Fault } from './fault.ts';
import { describeError } from './log.ts';

/** One problem of a configuration: where it is, and what to do about it. */
export type ConfigProblem = { path: string; message: string };

type Tree = { [key: string]: unknown };
type Environment = Readonly<Record<string, string | undefined>>;

const maxFileBytes = 1024 * 1024;
const variablePrefix = 'CURFEW__';

/** An invalid configuration. `problems` lists all of its problems. */
export class ConfigFault extends Fault {
  readonly problems: readonly ConfigProblem[];

  constructor(file: string, problems: readonly ConfigProblem[]) {
    const lines = problems.map(({ path, message }) => `  ${path === '' ? '(top level)' : path}: ${message}`);
    super('ERR_CONFIG_INVALID', `${file} is not a valid configuration:\n${lines.join('\n')}`);
    this.problems = problems;
  }
}

/**
 * Reads a program's configuration, applies the `CURFEW__…` environment variables, validates the result and
 * freezes it.
 * @param options.schema the program's valibot schema, which rejects unknown keys
 * @param options.file path of a YAML file, at most 1 MiB
 * @param options.environment default: the environment of this process
 * @throws ERR_CONFIG_UNREADABLE, ERR_CONFIG_INVALID (all problems at once, with their paths)
 */
export function loadConfig<Schema extends v.GenericSchema>(options: {
  schema: Schema;
  file: string;
  environment?: Environment;
}): v.InferOutput<Schema> {
  const tree = parseYaml(options.file, readConfigFile(options.file));
  const problems: ConfigProblem[] = [];
  overlayEnvironment(tree, options.environment ?? process.env, options.schema, problems);
  const parsed = v.safeParse(options.schema, tree);
  if (!parsed.success) problems.push(...parsed.issues.map(toProblem));
  if (!parsed.success || problems.length > 0) throw new ConfigFault(options.file, problems);
  return deepFreeze(parsed.output);
}

function readConfigFile(file: string): string {
  try {
    const bytes = readFileSync(file);
    if (bytes.length > maxFileBytes) throw new Fault('ERR_CONFIG_UNREADABLE', `${file} is larger than 1 MiB`);
    return bytes.toString('utf8');
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw new Fault('ERR_CONFIG_UNREADABLE', `cannot read ${file}: ${describeError(thrown).message}`, {
      cause: thrown,
    });
  }
}

function parseYaml(file: string, text: string): Tree {
  const document = parseDocument(text, { uniqueKeys: true, maxAliasCount: 0 } as object);
  const broken = document.errors.map((error) => ({
    path: `line ${error.linePos?.[0].line ?? '?'}`,
    message: error.message.split('\n', 1)[0]?.replace(/ at line \d+.*$/, '') ?? 'not YAML',
  }));
  if (broken.length > 0) throw new ConfigFault(file, broken);
  const value: unknown = document.toJS({ maxAliasCount: 0 });
  if (value === null || value === undefined) return {};
  if (!isTree(value))
    throw new ConfigFault(file, [{ path: '', message: 'must be a mapping of keys to values' }]);
  return value;
}

function overlayEnvironment(
  tree: Tree,
  environment: Environment,
  schema: v.GenericSchema,
  problems: ConfigProblem[],
): void {
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith(variablePrefix) || text === undefined) continue;
    const steps = name.slice(variablePrefix.length).split('__').map(camelCase);
    const target = scalarAt(schema, steps);
    if (target === undefined) {
      problems.push({
        path: name,
        message: 'no such scalar setting; remove the variable or correct its name',
      });
      continue;
    }
    place(tree, steps, target === 'boolean' || target === 'number' ? scalarFromText(text) : text);
  }
}

const camelCase = (step: string): string =>
  step.toLowerCase().replaceAll(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

const scalarFromText = (text: string): unknown => {
  if (text === 'true' || text === 'false') return text === 'true';
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
};

function place(tree: Tree, steps: readonly string[], value: unknown): void {
  let at = tree;
  for (const step of steps.slice(0, -1)) {
    const next = at[step];
    if (isTree(next)) {
      at = next;
      continue;
    }
    const created: Tree = {};
    at[step] = created;
    at = created;
  }
  const last = steps.at(-1);
  if (last !== undefined) at[last] = value;
}

type AnySchema = v.GenericSchema & {
  entries?: Record<string, v.GenericSchema>;
  wrapped?: v.GenericSchema;
  options?: readonly unknown[];
  pipe?: readonly v.GenericSchema[];
};

/**
 * The kind of scalar that a schema accepts at a path; undefined if there is no such path, or no scalar there.
 */
function scalarAt(
  schema: v.GenericSchema,
  steps: readonly string[],
): 'string' | 'number' | 'boolean' | undefined {
  const node = unwrap(schema);
  if (node.type === 'union' || node.type === 'variant') {
    const options = (node.options ?? []).filter(isSchema);
    return options.map((option) => scalarAt(option, steps)).find((kind) => kind !== undefined);
  }
  const [step, ...rest] = steps;
  if (step === undefined) {
    if (node.type === 'string' || node.type === 'picklist' || node.type === 'literal') return 'string';
    return node.type === 'number' || node.type === 'boolean' ? node.type : undefined;
  }
  const entry =
    node.entries !== undefined && Object.hasOwn(node.entries, step) ? node.entries[step] : undefined;
  return entry === undefined ? undefined : scalarAt(entry, rest);
}

const isSchema = (value: unknown): value is v.GenericSchema =>
  typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'schema';

function unwrap(schema: v.GenericSchema): AnySchema {
  const node = schema as AnySchema;
  if (node.wrapped !== undefined) return unwrap(node.wrapped);
  const first = node.pipe?.[0];
  return first !== undefined && first !== schema ? unwrap(first) : node;
}

function toProblem(issue: v.BaseIssue<unknown>): ConfigProblem {
  const path = (issue.path ?? [])
    .map(({ key }) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('');
  return { path: path.replace(/^\./, ''), message: problemMessage(issue) };
}

function problemMessage(issue: v.BaseIssue<unknown>): string {
  if (issue.type === 'strict_object') {
    return issue.expected === 'never' ? 'unknown key; remove it or correct its spelling' : 'is required';
  }
  // A value may be a secret: say what was expected, never what was found.
  if (issue.message.startsWith('Invalid '))
    return issue.expected === null ? 'is not valid' : `must be ${issue.expected}`;
  return issue.message;
}

const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

/**
 * The value of a `CURFEW__…` variable, for commands that read no configuration file.
 * @param path the name of the variable after that prefix
 */
export const environmentSetting = (
  path: string,
  environment: Environment = process.env,
): string | undefined => environment[`${variablePrefix}${path}`];

/** The operator's token for the administration API, from the environment variable CURFEW_ADMIN_TOKEN. */
export const adminTokenFromEnvironment = (environment: Environment = process.env): string | undefined =>
  environment['CURFEW_ADMIN_TOKEN'] || undefined;

/** The environment of this process, with additions: for a child process, or to look something up. A copy. */
export const processEnvironment = (extra: Record<string, string> = {}): NodeJS.ProcessEnv => ({
  ...process.env,
  ...extra,
});
