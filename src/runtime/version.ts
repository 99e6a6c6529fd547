import manifest from '../../package.json' with { type: 'json' };

/** Put here by `scripts/bundle.ts`; absent in a checkout. */
declare const CURFEW_REVISION: string | undefined;

/** What this program was built from. */
export const build = {
  version: manifest.version,
  /** The commit, where the build was told one. */
  revision: typeof CURFEW_REVISION === 'string' ? CURFEW_REVISION : 'unknown',
} as const;

/** The line that `--version` prints. @param program `curfew`, or the name of a program that is bundled alone */
export const versionLine = (program: string): string =>
  `${program} ${build.version} (revision ${build.revision}, Node ${process.versions.node})`;
