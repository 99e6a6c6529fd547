// Checks the rules between the source files of src:
//
// - Imports go down: between rooms (the folders of src) and between the folders of identity, as the tables
// below say.
//   An `import type` counts as an import.
// - Neither files nor folders import each other in a circle.
// - A package with a room of its own is imported there alone.
// - A name is exported by one file only, so that it means one thing in all of src.
//
//   node scripts/setup.mjs scripts/check-imports.ts
//
// Prints each violation, and exits with 1 if there is one.
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

type ImportTable = Readonly<Record<string, readonly string[] | 'all' | 'all but programs'>>;

/** What each room may import besides itself. */
const rooms: ImportTable = {
  runtime: [],
  vocabulary: [],
  http2: [],
  protobuf: [],
  redis: ['runtime'],
  database: ['runtime'],
  config: ['runtime', 'vocabulary'],
  token: ['runtime', 'vocabulary'],
  'revocation-log': ['runtime', 'vocabulary'],
  revocation: ['runtime', 'redis', 'revocation-log'],
  publisher: ['runtime', 'redis', 'database', 'token', 'revocation-log'],
  receivers: ['runtime', 'vocabulary', 'database', 'token', 'revocation-log', 'publisher'],
  check: ['runtime', 'token', 'revocation'],
  grpc: ['runtime', 'http2', 'protobuf'],
  envoy: ['runtime', 'protobuf', 'token', 'check', 'grpc'],
  'envoy-lint': ['runtime'],
  injection: ['runtime'],
  demo: ['runtime', 'injection'],
  identity: ['runtime', 'vocabulary', 'database', 'token', 'revocation-log', 'publisher', 'receivers'],
  assembly: ['runtime', 'config', 'database', 'token', 'check', 'revocation', 'publisher', 'receivers'],
  command: 'all but programs',
  programs: 'all',
};

/** What each folder of identity may import of identity, besides itself. */
const identityFolders: ImportTable = {
  store: [],
  text: [],
  account: ['store'],
  key: ['store'],
  session: ['store', 'key'],
  passkey: ['store', 'account'],
  request: ['store', 'text'],
  adapter: ['store', 'session', 'request'],
  grant: ['store', 'account', 'request'],
  operator: ['store', 'account', 'key', 'session'],
  admin: ['store', 'account', 'key', 'session'],
  interaction: ['store', 'text', 'account', 'session', 'passkey', 'request'],
  endpoint: 'all',
};

/** Where a package may be imported. A package that isn't listed may be imported everywhere. */
const packages: readonly (readonly [name: RegExp, files: RegExp])[] = [
  [/^@grpc\//, /^grpc\//],
  [/^ioredis$/, /^redis\/|\/redis-[^/]*$|\/ownerless-log\.ts$/],
  [/^kysely$/, /^database\/|\/store\/|^publisher\/outbox/],
  [/^(?:pg|node:sqlite)$/, /^database\//],
  [/^oidc-provider$/, /^identity\/|^programs\/identity\.ts$/],
];

/** Names that several files may export, each with the reason. */
const sharedNames: Readonly<Record<string, string>> = {};

const importPattern = /^(?:import|export)\b[^;]*?\bfrom '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm;
const exportPattern =
  /^export (?:declare |abstract |async )*(?:function\*?|class|const|let|type|interface) ([\w$]+)/gm;

/** @param text TypeScript; every import begins a line, as the formatter has it */
export function importsIn(text: string): string[] {
  return Array.from(text.matchAll(importPattern), ([, from, run, loaded]) => String(from ?? run ?? loaded));
}

/** The file of src that an import means; undefined for a package, and for a file outside src. */
export function importedFile(file: string, name: string): string | undefined {
  if (!name.startsWith('.')) return undefined;
  const target = normalize(join(dirname(file), name));
  return target.startsWith('..') ? undefined : target;
}

/**
 * Every violation, as a line to print.
 * @param files the text of each source file, by its path in src
 */
export function findViolations(files: ReadonlyMap<string, string>): string[] {
  const imports = new Map([...files].map(([file, text]) => [file, importsIn(text)]));
  return [
    ...[...imports].flatMap(([file, names]) => names.flatMap((name) => importViolations(file, name))),
    ...[(file: string) => file, dirname].flatMap((nameOf) =>
      circlesIn(graphOf(imports, nameOf)).map((circle) => `circle: ${circle}`),
    ),
    ...homonymsIn(files),
  ];
}

function importViolations(file: string, name: string): string[] {
  if (!name.startsWith('.'))
    return packages.some(([pattern, where]) => pattern.test(name) && !where.test(file))
      ? [`src/${file} imports ${name}: not allowed there`]
      : [];
  const target = importedFile(file, name);
  if (target === undefined) return [];
  const [room = '', folder = ''] = file.split('/');
  const [targetRoom = '', targetFolder = ''] = target.split('/');
  const isAllowed =
    room === targetRoom
      ? room !== 'identity' || folder === targetFolder || allows(identityFolders, folder, targetFolder)
      : allows(rooms, room, targetRoom);
  return isAllowed ? [] : [`src/${file} imports src/${target}: not allowed`];
}

function allows(table: ImportTable, from: string, to: string): boolean {
  const allowed = table[from];
  if (allowed === 'all') return true;
  return allowed === 'all but programs' ? to !== 'programs' : allowed?.includes(to) === true;
}

/** The imports between files, or between whatever `nameOf` maps files to. */
function graphOf(
  imports: ReadonlyMap<string, readonly string[]>,
  nameOf: (file: string) => string,
): Map<string, Set<string>> {
  const graph = new Map<string, Set<string>>();
  for (const [file, names] of imports)
    for (const name of names) {
      const target = importedFile(file, name);
      if (target === undefined) continue;
      const from = nameOf(file);
      const to = nameOf(target);
      // A folder may import itself; a file may not.
      if (from !== to || from === file) graph.set(from, (graph.get(from) ?? new Set()).add(to));
    }
  return graph;
}

/** Circles of imports, each as the names along it. Finds one at least if there is any. */
function circlesIn(graph: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  function walk(name: string, path: readonly string[]): void {
    const start = path.indexOf(name);
    if (start >= 0) found.push([...path.slice(start), name].join(' -> '));
    if (start >= 0 || done.has(name)) return;
    for (const next of graph.get(name) ?? []) walk(next, [...path, name]);
    done.add(name);
  }
  for (const name of graph.keys()) walk(name, []);
  return found;
}

/** Names that several files export: a reader who searches for one finds two things. */
function homonymsIn(files: ReadonlyMap<string, string>): string[] {
  const places = new Map<string, Set<string>>();
  for (const [file, text] of files)
    for (const [, name = ''] of text.matchAll(exportPattern))
      places.set(name, (places.get(name) ?? new Set()).add(file));
  return [...places]
    .filter(([name, where]) => where.size > 1 && !Object.hasOwn(sharedNames, name))
    .map(([name, where]) => `${name} is exported by ${[...where].map((file) => `src/${file}`).join(', ')}`);
}

/** The source files without those that are generated, by their paths in src. */
export function sourceFiles(root = join(import.meta.dirname, '..')): Map<string, string> {
  const source = join(root, 'src');
  const names = globSync('**/*.{ts,js}', { cwd: source }).filter((file) => !file.includes('/generated/'));
  return new Map(names.sort().map((file) => [file, readFileSync(join(source, file), 'utf8')]));
}

if (import.meta.main) {
  const violations = findViolations(sourceFiles());
  for (const violation of violations) console.log(violation);
  if (violations.length > 0) process.exitCode = 1;
}
