import { spawnSync } from 'node:child_process';
import type { TestProject } from 'vitest/node';
import { executablePath } from '../../src/demo/executables.ts';
import { canInstall, install } from '../debian.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The path of a Chromium that starts. */
    chromium: string;
  }
}

const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
/** Without a font, pages are measured and pictured empty. */
const packages = ['chromium', 'fonts-dejavu-core'];

/** Finds a Chromium for the suite; a fresh Debian gets its own. */
export default async function provideChromium(project: TestProject): Promise<void> {
  const path = named() ?? found() ?? (await installed());
  const { status, stdout, stderr, error } = spawnSync(path, ['--version'], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (status !== 0) throw new Error(`${path} does not start: ${error?.message ?? stderr.trim()}`);
  console.log(`browser: using ${path}, ${stdout.trim()}`);
  project.provide('chromium', path);
}

function named(): string | undefined {
  const path = process.env['CURFEW_TEST_CHROMIUM'];
  return path === '' ? undefined : path;
}

const found = (): string | undefined =>
  names.map((name) => executablePath(name)).find((path) => path !== undefined);

async function installed(): Promise<string> {
  if (!canInstall())
    throw new Error(
      `no Chromium here: install ${packages.join(' and ')} (as root on Debian this is done by itself), or name one in CURFEW_TEST_CHROMIUM`,
    );
  console.log(`browser: no Chromium here; installing ${packages.join(' and ')} with apt-get`);
  await install(packages);
  const path = found();
  if (path === undefined) throw new Error('apt-get installed chromium, but there is none on PATH');
  return path;
}
