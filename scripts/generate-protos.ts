/**
 * Derives two folders from `proto/`, with what the served methods reach and nothing else:
 * - `src/envoy/generated/`: the types of the responses that we send, which proto-loader-gen-types writes;
 * - `test/envoy/generated/`: the types of both services, and the JSON descriptor that proto-loader reads, for clients.
 *
 *   node scripts/generate-protos.ts            writes them
 *   node scripts/generate-protos.ts --check    fails if they, or the vendored files, differ from their source
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const protoFolder = join(root, 'proto');
const entryFiles = ['envoy/service/auth/v3/external_auth.proto', 'grpc/health/v1/health.proto'];
const services = ['envoy.service.auth.v3.Authorization', 'grpc.health.v1.Health'];
/** The one message whose type `src` uses. */
const responseType = 'envoy/service/auth/v3/CheckResponse.ts';

// The version of protobufjs must be the one that proto-loader uses.
const fromLoader = createRequire(createRequire(import.meta.url).resolve('@grpc/proto-loader'));

type Reflected = { name: string; fullName: string; parent: Reflected | null };
type Field = Reflected & { resolve(): Field; resolvedType: Message | null };
type Message = Reflected & { fieldsArray?: Field[] };
type Service = Reflected & {
  methodsArray: { resolve(): { resolvedRequestType: Message; resolvedResponseType: Message } }[];
};
type Root = {
  resolvePath: (origin: string, target: string) => string;
  loadSync(files: string[]): Root;
  resolveAll(): Root;
  lookupService(name: string): Service;
  toJSON(): Json;
};
type Protobuf = { Root: new () => Root; common: { get(file: string): unknown } };
type Json = { [key: string]: unknown; nested?: Record<string, Json> };

/**
 * The descriptor as text: the services and every type that they use, without options that only generators
 * read.
 */
function descriptorText(): string {
  const protobuf = fromLoader('protobufjs') as Protobuf;
  const loaded = new protobuf.Root();
  loaded.resolvePath = (_, target) =>
    existsSync(join(protoFolder, target)) ? join(protoFolder, target) : target;
  fromLoader('@grpc/proto-loader/build/src/util').addCommonProtos();
  loaded.loadSync(entryFiles).resolveAll();
  const reached = new Set<string>();
  const pending: Message[] = [];
  for (const name of services) {
    const service = loaded.lookupService(name);
    mark(service, reached);
    for (const method of service.methodsArray) {
      const { resolvedRequestType, resolvedResponseType } = method.resolve();
      pending.push(resolvedRequestType, resolvedResponseType);
    }
  }
  for (let type = pending.pop(); type !== undefined; type = pending.pop()) {
    if (reached.has(type.fullName)) continue;
    mark(type, reached);
    for (const field of type.fieldsArray ?? []) {
      const { resolvedType } = field.resolve();
      if (resolvedType !== null) pending.push(resolvedType);
    }
  }
  return `${JSON.stringify(pruned(loaded.toJSON(), '', reached), undefined, 1)}\n`;
}

function mark(object: Reflected, reached: Set<string>): void {
  for (let at: Reflected | null = object; at !== null; at = at.parent) reached.add(at.fullName);
}

function pruned(node: Json, name: string, reached: ReadonlySet<string>): Json {
  const kept: Json = {};
  for (const [key, value] of Object.entries(node)) if (key !== 'nested') kept[key] = withoutExtensions(value);
  delete kept['options'];
  const nested = Object.entries(node.nested ?? {}).filter(([child]) => reached.has(`${name}.${child}`));
  if (nested.length > 0) {
    kept.nested = Object.fromEntries(
      nested.map(([child, value]) => [child, pruned(value, `${name}.${child}`, reached)]),
    );
  }
  return kept;
}

// Custom options such as `(validate.rules)` describe constraints; the wire format doesn't depend on them.
function withoutExtensions(value: unknown): unknown {
  if (Array.isArray(value) || typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .filter(([key]) => !key.startsWith('(') && key !== 'comment')
    .map(([key, inner]) => [key, withoutExtensions(inner)] as const)
    .filter(([key, inner]) => key !== 'options' || Object.keys(inner as object).length > 0);
  return Object.fromEntries(entries);
}

/** The text of generated types by path: of the given files, and of those that they import. */
function typeFiles(entries: readonly string[]): Map<string, string> {
  const folder = mkdtempSync(join(tmpdir(), 'curfew-types-'));
  try {
    const program = fromLoader.resolve('@grpc/proto-loader/build/bin/proto-loader-gen-types.js');
    const options = ['--longs=Number', '--grpcLib=@grpc/grpc-js', '--importFileExtension=.ts'];
    execFileSync(process.execPath, [program, ...options, '-I', 'proto', '-O', folder, ...entryFiles], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const files = new Map<string, string>();
    const pending = [...entries];
    for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
      if (files.has(file)) continue;
      const text = readFileSync(join(folder, file), 'utf8');
      files.set(file, text);
      for (const [, path = ''] of text.matchAll(/from '(\.[^']+)'/g)) pending.push(join(dirname(file), path));
    }
    return files;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Vendored files with another digest than in `proto/PROVENANCE.md`, files that it doesn't list, and files
 * that are missing.
 */
function vendoringProblems(): string[] {
  const listed = new Map<string, string>();
  for (const line of readFileSync(join(protoFolder, 'PROVENANCE.md'), 'utf8').split('\n')) {
    const groups = /^\| `(?<path>[^`]+\.proto)` \| `(?<digest>[0-9a-f]{64})` \|$/.exec(line)?.groups;
    if (groups?.['path'] !== undefined) listed.set(groups['path'], groups['digest'] ?? '');
  }
  const present = filesUnder(protoFolder).filter((path) => path.endsWith('.proto'));
  const problems = present
    .filter((path) => listed.get(path) !== sha256(join(protoFolder, path)))
    .map((path) => `proto/${path} is not the file that proto/PROVENANCE.md lists`);
  for (const path of listed.keys())
    if (!present.includes(path)) problems.push(`proto/${path} is listed in proto/PROVENANCE.md but missing`);
  return problems;
}

const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

const filesUnder = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();

const serviceFiles = services.map((name) => `${name.replaceAll('.', '/')}.ts`);
const folders: Record<string, Map<string, string>> = {
  'src/envoy/generated': typeFiles([responseType]),
  'test/envoy/generated': typeFiles(serviceFiles).set('descriptor.json', descriptorText()),
};

function generatedProblems(folder: string, wanted: ReadonlyMap<string, string>): string[] {
  const present = existsSync(join(root, folder)) ? filesUnder(join(root, folder)) : [];
  const isCurrent = (path: string, text: string): boolean =>
    present.includes(path) && readFileSync(join(root, folder, path), 'utf8') === text;
  return [
    ...[...wanted]
      .filter(([path, text]) => !isCurrent(path, text))
      .map(([path]) => `${folder}/${path} is not what proto/ generates`),
    ...present.filter((path) => !wanted.has(path)).map((path) => `${folder}/${path} has no source in proto/`),
  ];
}

function write(folder: string, wanted: ReadonlyMap<string, string>): void {
  rmSync(join(root, folder), { recursive: true, force: true });
  for (const [path, text] of wanted) {
    mkdirSync(dirname(join(root, folder, path)), { recursive: true });
    writeFileSync(join(root, folder, path), text);
  }
  console.log(`${wanted.size} files in ${folder}`);
}

if (process.argv.includes('--check')) {
  const problems = [
    ...vendoringProblems(),
    ...Object.entries(folders).flatMap(([folder, wanted]) => generatedProblems(folder, wanted)),
  ];
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) console.error('run: node scripts/generate-protos.ts');
  process.exitCode = problems.length > 0 ? 1 : 0;
} else {
  for (const [folder, wanted] of Object.entries(folders)) write(folder, wanted);
}
