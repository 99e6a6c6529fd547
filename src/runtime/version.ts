import manifest from '../../package.json' with { type: 'json' };

/** Defined by `scripts/bundle.ts`; not defined in a checkout. */
declare const CURFEW_REVISION: string | undefined;

/** The version and the revision of this program. */
export const build = {
  version: manifest.version,
  /** The commit; `unknown` unless the build was given one. */
  revision: typeof CURFEW_REVISION === 'string' ? CURFEW_REVISION : 'unknown',
} as const;

/**
 * The line that `--version` prints.
 * @param program `curfew`, or the name of a program with a bundle of its own
 */
export const versionLine = (program: string): string =>
  `${program} ${build.version} (revision ${build.revision}, Node ${process.versions.node})`;
