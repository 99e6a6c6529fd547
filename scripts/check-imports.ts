// Shows that every import in src goes down: between rooms (the folders of src), between the folders of identity, and
// between files, `import type` included. A package with a room of its own is imported there alone.
//
//   node scripts/check-imports.ts
//
// Exit 1 if an import isn't allowed, or if files import each other in a circle.
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** What each room may import besides itself. */
const rooms: Table = {
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

/** The same for the folders of identity. */
const identityFolders: Table = {
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

type Table = Readonly<Record<string, readonly string[] | 'all' | 'all but programs'>>;

const source = join(import.meta.dirname, '..', 'src');
const importPattern = /^(?:import|export)\b[^;]*?\bfrom '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm;

const files = globSync('**/*.{ts,js}', { cwd: source }).filter((file) => !file.includes('/generated/'));
const imports = new Map(files.map((file) => [file, namesIn(readFileSync(join(source, file), 'utf8'))]));

function namesIn(text: string): string[] {
  return Array.from(text.matchAll(importPattern), ([, from, run, loaded]) => String(from ?? run ?? loaded));
}

const targetOf = (file: string, name: string): string => normalize(join(dirname(file), name));

function faultsOf(file: string, name: string): string[] {
  if (!name.startsWith('.'))
    return packages.some(([pattern, where]) => pattern.test(name) && !where.test(file))
      ? [`src/${file} imports ${name}: not allowed there`]
      : [];
  const target = targetOf(file, name);
  const [room = '', folder = ''] = file.split('/');
  const [targetRoom = '', targetFolder = ''] = target.split('/');
  if (targetRoom === '..') return [];
  const isAllowed =
    room === targetRoom
      ? room !== 'identity' || folder === targetFolder || allows(identityFolders, folder, targetFolder)
      : allows(rooms, room, targetRoom);
  return isAllowed ? [] : [`src/${file} imports src/${target}: not allowed`];
}

function allows(table: Table, from: string, to: string): boolean {
  const line = table[from];
  if (line === 'all') return true;
  return line === 'all but programs' ? to !== 'programs' : line?.includes(to) === true;
}

/** The circles among names that import each other, each as the names on its way. */
function circlesOf(graph: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  function walk(name: string, way: readonly string[]): void {
    const start = way.indexOf(name);
    if (start >= 0) found.push([...way.slice(start), name].join(' -> '));
    if (start >= 0 || done.has(name)) return;
    for (const next of graph.get(name) ?? []) walk(next, [...way, name]);
    done.add(name);
  }
  for (const name of graph.keys()) walk(name, []);
  return found;
}

/** The imports between files, or between their folders at the given depth. */
function graphOf(nameOf: (file: string) => string): Map<string, Set<string>> {
  const graph = new Map<string, Set<string>>();
  for (const [file, names] of imports)
    for (const name of names.filter((one) => one.startsWith('.'))) {
      const from = nameOf(file);
      const to = nameOf(targetOf(file, name));
      if (from !== to || from === file) graph.set(from, (graph.get(from) ?? new Set()).add(to));
    }
  return graph;
}

const faults = [
  ...[...imports].flatMap(([file, names]) => names.flatMap((name) => faultsOf(file, name))),
  ...[(file: string) => file, dirname].flatMap((nameOf) =>
    circlesOf(graphOf(nameOf)).map((circle) => `circle: ${circle}`),
  ),
];
for (const fault of faults) console.log(fault);
if (faults.length > 0) process.exitCode = 1;
