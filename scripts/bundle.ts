// Bundles each program into one file for Node 24, with the files it reads at run time beside it.
//
//   node scripts/bundle.ts [--out dist] [--version VERSION] [--revision COMMIT] [PROGRAM ...]
//
// With --version the build fails unless that is the version in package.json. `curfew --version` shows both.
//
// dist/PROGRAM.mjs         runs `--config FILE`; `curfew.mjs` is the whole command line
// dist/PROGRAM.mjs.map     for readable stack traces; holds names and line numbers, not the sources
// dist/assets/             what programs read at run time, under its path in src
import { createRequire } from 'node:module';
import { existsSync, mkdirSync, readFileSync, rmSync, copyFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { build, type BuildOptions, type Plugin } from 'esbuild';

const root = resolve(import.meta.dirname, '..');

/** Programs with an image of their own: the file, and the function that runs one until SIGTERM. */
const programs = {
  authorizer: 'runAuthorizer',
  identity: 'runIdentity',
  relay: 'runRelay',
  injector: 'runInjector',
} as const;

type ProgramName = keyof typeof programs;
const commandLine = 'curfew';

/** A sidecar's bundle holds its own program and nothing of the other commands: less to read, less memory. */
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

/** ES modules: the programs await at their top level. CommonJS packages inside still call \`require\` and \`__dirname\`. */
const commonJsNames = [
  "import { createRequire as __createRequire } from 'node:module';",
  'const require = __createRequire(import.meta.url);',
  'const __filename = import.meta.filename, __dirname = import.meta.dirname;',
].join(' ');

/**
 * oidc-provider stores its models under the names of their classes, which a bundle otherwise changes where two are
 * equal. Keeping them costs a call for each function that is made, which the authorizer's hot path is spared.
 */
const dependOnNames: ReadonlySet<string> = new Set(['identity', commandLine]);

const assetUrl = /new URL\('(?<path>[^']+)', import\.meta\.url\)/g;

/** Copies what \`new URL('./file', import.meta.url)\` names, and lets the bundle find it under \`assets/\`. */
const assets = (out: string): Plugin => ({
  name: 'assets',
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const source = readFileSync(path, 'utf8');
      const contents = source.replaceAll(assetUrl, (_, specifier: string) => {
        const asset = resolve(dirname(path), specifier);
        if (!existsSync(asset) || !statSync(asset).isFile())
          throw new Error(
            `${relative(root, path)} names ${specifier}, which is no file that could be bundled`,
          );
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

/** Of package.json a program needs its version alone. */
const manifest: Plugin = {
  name: 'manifest',
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/package\.json$/ }, ({ path }) =>
      path === join(root, 'package.json')
        ? { contents: JSON.stringify({ version: productVersion }), loader: 'json' }
        : undefined,
    );
  },
};

/** The demo starts programs of a checkout; an image has none. */
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
 * What prom-client asks for the trace of an exemplar, which nobody switches on; and what it pushes metrics with, which nobody
 * does.
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

/** Needed for TLS, and to unpack a compressed message: not by most authorizers, and not at the start. */
const lateModules = ['tls', 'https', 'zlib'] as const;
const lateModule = new RegExp(`^(?:node:)?(?<name>${lateModules.join('|')})$`);

/** Loads some of Node's modules when something of them is used: 10 ms of an authorizer's start. */
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

/** What our own files import of `node:util`. */
const utilNames = ['inspect', 'isDeepStrictEqual', 'parseArgs', 'promisify'];

/**
 * Takes Node's own modules without `import`, which reads each of their exports: those of `node:http` then load the whole of
 * undici, 17 ms and 5 MB that an authorizer has no use for. Of `node:util` our own files get no more than they name, since
 * even looking at the rest loads parts of it.
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
  // Whitespace and dead code go; names stay, for stack traces and for the log.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'linked',
  sourcemap: 'linked',
  sourcesContent: false,
  // Chosen at run time by packages that do without them.
  external: ['pg-native', 'pg-cloudflare'],
  define: { CURFEW_REVISION: JSON.stringify(values.revision) },
  absWorkingDir: root,
  logLevel: 'warning',
  logOverride: { 'import-is-undefined': 'error' },
  metafile: true,
  plugins: [withoutDemo, unused, builtins, manifest, assets(out)],
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
  const plugins = [...(name === 'authorizer' ? [late] : []), ...(common.plugins ?? [])];
  await build({ ...common, ...entry, outfile, plugins, keepNames: dependOnNames.has(name) });
  console.log(`${relative(process.cwd(), outfile)}  ${Math.round(statSync(outfile).size / 1024)} KiB`);
}

const { values, positionals } = parseArgs({
  options: {
    out: { type: 'string', default: 'dist' },
    version: { type: 'string' },
    revision: { type: 'string', default: 'unknown' },
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
  throw new Error(`no such program: ${unknown.join(', ')}; it is one of ${known.join(', ')}`);
const wanted = positionals.length > 0 ? positionals : known;
rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, 'assets'), { recursive: true });
for (const name of wanted) await bundle(name, out);
