// Bundles each program into one file for Node 24, and copies the files that it reads at run time.
//
//   node scripts/bundle.ts [--out dist] [--version VERSION] [--revision COMMIT] [--without PLUGIN] [PROGRAM ...]
//
// --without omits a plug-in of this file, to measure what it saves (docs/adr/0010-v8-tuning.md).
// With --version, the build fails unless package.json has the same version. `curfew --version` shows version
// and revision.
//
// dist/PROGRAM.mjs         runs `--config FILE`; `curfew.mjs` is the whole command line
// dist/PROGRAM.mjs.map     for readable stack traces; contains names and line numbers, not the sources
// dist/assets/             the files that programs read at run time, under their paths in src
import { createRequire } from 'node:module';
import { existsSync, mkdirSync, readFileSync, rmSync, copyFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { build, type BuildOptions, type Plugin } from 'esbuild';

const root = resolve(import.meta.dirname, '..');

/** Programs with an image of their own, each with the function that runs it until SIGTERM. */
const programs = {
  authorizer: 'runAuthorizer',
  identity: 'runIdentity',
  relay: 'runRelay',
  injector: 'runInjector',
} as const;

type ProgramName = keyof typeof programs;
const commandLine = 'curfew';

/**
 * The entry of a program's own bundle. It leaves out the other commands, so that it loads faster and uses
 * less memory.
 */
const programEntry = (name: ProgramName): string => `
import { ${programs[name]} as run } from './src/programs/${name}.ts';
import { parseCommandLine, requiredOption } from './src/command/command.ts';
import { Fault } from './src/runtime/fault.ts';
import { versionLine } from './src/runtime/version.ts';
import { describeError, withoutCredentials } from './src/runtime/log.ts';

const usageCodes = ['ERR_USAGE', 'ERR_CONFIG_INVALID', 'ERR_CONFIG_UNREADABLE'];
try {
  const options = { config: { type: 'string' }, version: { type: 'boolean' } };
  const parsed = parseCommandLine(process.argv.slice(2), options, { min: 0, max: 0 });
  if (parsed.values.version === true) process.stdout.write(versionLine('curfew ${name}') + '\\n');
  else process.exitCode = await run(requiredOption(parsed, 'config'));
} catch (thrown) {
  const stack = thrown instanceof Fault ? '' : withoutCredentials('\\n' + (thrown?.stack ?? ''));
  process.stderr.write('curfew ${name}: ' + describeError(thrown).message + stack + '\\n');
  process.exitCode = thrown instanceof Fault && usageCodes.includes(thrown.code) ? 2 : 1;
}
`;

/**
 * The bundles are ES modules, because the programs have a top-level await. The CommonJS packages in them
 * still need `require` and `__dirname`.
 */
const commonJsNames = [
  "import { createRequire as __createRequire } from 'node:module';",
  'const require = __createRequire(import.meta.url);',
  'const __filename = import.meta.filename, __dirname = import.meta.dirname;',
].join(' ');

/**
 * oidc-provider stores its models under the names of their classes. esbuild renames a class if another one
 * has the same name, unless it keeps names. That costs a call whenever a function is created, so the
 * authorizer goes without.
 */
const needsNames: ReadonlySet<string> = new Set(['identity', commandLine]);

const assetUrl = /new URL\('(?<path>[^']+)', import\.meta\.url\)/g;

/** Copies the files that `new URL('./file', import.meta.url)` names to `assets/`, and adapts the URLs. */
const assets = (out: string): Plugin => ({
  name: 'assets',
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const source = readFileSync(path, 'utf8');
      const contents = source.replaceAll(assetUrl, (_, specifier: string) => {
        const asset = resolve(dirname(path), specifier);
        if (!existsSync(asset) || !statSync(asset).isFile())
          throw new Error(`${relative(root, path)} names ${specifier}, which is not a file`);
        const target = join('assets', relative(join(root, 'src'), asset));
        mkdirSync(join(out, dirname(target)), { recursive: true });
        copyFileSync(asset, join(out, target));
        return `new URL('./${target}', import.meta.url)`;
      });
      if (/import\.meta\.(?:dirname|filename)/.test(contents))
        throw new Error(
          `${relative(root, path)}: use new URL('./file', import.meta.url), which can be bundled`,
        );
      return { contents, loader: 'ts' };
    });
  },
});

/** Leaves the demo out. It starts programs of a checkout, which an image doesn't have. */
const withoutDemo: Plugin = {
  name: 'without-demo',
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/src\/demo\/demo\.ts$/ }, () => ({
      contents: `import { Fault } from '../runtime/fault.ts';
export const runDemo = () => {
  throw new Fault('ERR_PROGRAM_UNAVAILABLE', 'the demo runs from a checkout: npm run demo');
};`,
      loader: 'ts',
      resolveDir: join(root, 'src', 'demo'),
    }));
  },
};

/**
 * Leaves out the parts of prom-client that Curfew doesn't use: traces for exemplars, and the client of a push
 * gateway.
 */
const unused: Plugin = {
  name: 'unused',
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/@opentelemetry\/api\/|\/prom-client\/lib\/pushgateway\.js$/ }, () => ({
      contents: 'module.exports = {};',
      loader: 'js',
    }));
  },
};

/**
 * Modules for TLS, and for compressed messages. Most authorizers never need them, and none needs them at its
 * start.
 */
const lateModules = ['tls', 'https', 'zlib'] as const;
const lateModule = new RegExp(`^(?:node:)?(?<name>${lateModules.join('|')})$`);

/** Loads these modules of Node at their first use. It saves 10 ms of an authorizer's start. */
const late: Plugin = {
  name: 'late',
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: lateModule }, ({ path }) => ({
      path: lateModule.exec(path)?.groups?.['name'] ?? path,
      namespace: 'late',
    }));
    onLoad({ filter: /.*/, namespace: 'late' }, ({ path }) => ({
      contents: `for (const name of ${JSON.stringify(Object.keys(createRequire(import.meta.url)(path) as object))})
  Object.defineProperty(exports, name, {
    enumerable: true,
    get: () => process.getBuiltinModule(${JSON.stringify(`node:${path}`)})[name],
  });`,
      loader: 'js',
    }));
  },
};

/** The names that our own files import from `node:util`. */
const utilNames = ['inspect', 'isDeepStrictEqual', 'parseArgs', 'promisify'];

/**
 * Replaces the import of Node's modules by `process.getBuiltinModule`. An `import` reads all exports of a
 * module; for `node:http` this loads undici, which takes 17 ms and 5 MB and which the authorizer doesn't use.
 * From `node:util`, our own files get only the names that they use, because reading other exports loads parts
 * of it, too.
 */
const builtins: Plugin = {
  name: 'builtins',
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: /^node:/ }, ({ path, kind, importer }) => {
      if (kind !== 'import-statement') return undefined;
      const isOurUtil = path === 'node:util' && importer.startsWith(join(root, 'src'));
      return { path, namespace: isOurUtil ? 'util' : 'builtin' };
    });
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
      loader: 'js',
    }));
    onLoad({ filter: /.*/, namespace: 'util' }, () => ({
      contents: `export const { ${utilNames.join()} } = process.getBuiltinModule('node:util');`,
      loader: 'js',
    }));
  },
};

const shared = (out: string): BuildOptions => ({
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  banner: { js: commonJsNames },
  // Whitespace and dead code are removed. Names stay, for stack traces and for the log.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'linked',
  sourcemap: 'linked',
  sourcesContent: false,
  // Optional dependencies of packages, which work without them.
  external: ['pg-native', 'pg-cloudflare'],
  define: { CURFEW_REVISION: JSON.stringify(values.revision) },
  absWorkingDir: root,
  logLevel: 'warning',
  logOverride: { 'import-is-undefined': 'error' },
  metafile: true,
  plugins: [withoutDemo, unused, builtins, assets(out)],
});

async function bundle(name: string, out: string): Promise<void> {
  const outfile = join(out, `${name}.mjs`);
  const entry: BuildOptions =
    name === commandLine
      ? { entryPoints: [join(root, 'src', 'programs', 'cli.ts')] }
      : {
          stdin: {
            contents: programEntry(name as ProgramName),
            resolveDir: root,
            sourcefile: `${name}-entry.ts`,
            loader: 'ts',
          },
        };
  const common = shared(out);
  const plugins = [...(name === 'authorizer' ? [late] : []), ...(common.plugins ?? [])].filter(
    (plugin) => !values.without.includes(plugin.name),
  );
  await build({ ...common, ...entry, outfile, plugins, keepNames: needsNames.has(name) });
  console.log(`${relative(process.cwd(), outfile)}  ${Math.round(statSync(outfile).size / 1024)} KiB`);
}

const { values, positionals } = parseArgs({
  options: {
    out: { type: 'string', default: 'dist' },
    version: { type: 'string' },
    revision: { type: 'string', default: 'unknown' },
    without: { type: 'string', multiple: true, default: [] },
  },
  allowPositionals: true,
});
const { version: productVersion } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string;
};
if (values.version !== undefined && values.version !== productVersion)
  throw new Error(`--version is ${values.version}, but package.json has ${productVersion}`);
const out = resolve(values.out);
const known = [...Object.keys(programs), commandLine];
const unknown = positionals.filter((name) => !known.includes(name));
if (unknown.length > 0)
  throw new Error(`no such program: ${unknown.join(', ')}: expected one of ${known.join(', ')}`);
const wanted = positionals.length > 0 ? positionals : known;
rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, 'assets'), { recursive: true });
for (const name of wanted) await bundle(name, out);
