import { accessSync, constants, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { processEnvironment } from '../runtime/config.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The folder for programs and packages that Curfew fetches (XDG Base Directory, `XDG_CACHE_HOME`). */
export function cacheDirectory(environment: Environment = processEnvironment()): string {
  return join(environment['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'curfew');
}

/** The first executable of that name on PATH; undefined if PATH has no such file. */
export function executablePath(
  name: string,
  environment: Environment = processEnvironment(),
): string | undefined {
  const folders = (environment['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
