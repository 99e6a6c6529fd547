import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { fileIssuer, startAuthorizer } from '../authorizer/authorizer-program.ts';
import { repository } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';

const { version } = manifest;

const run = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { cwd: repository, encoding: 'utf8' });

const read = (file: string): string => readFileSync(join(repository, file), 'utf8');

describe('the version', () => {
  it.each(['--version', 'version'])('is printed by `curfew %s`', (argument) => {
    expect(run(join('bin', 'curfew'), argument)).toBe(
      `curfew ${version} (revision unknown, Node ${process.versions.node})\n`,
    );
  });

  it('is in the first line of the log, in /status and in a metric', async () => {
    const folder = temporaryDirectory();
    const authorizer = await startAuthorizer(folder, { issuers: [fileIssuer(folder)] });
    onTestFinished(async () => void (await authorizer.stop()));
    const build = { version, revision: 'unknown' };
    expect(authorizer.log()[0]).toMatchObject({ program: 'authorizer', msg: 'starting', ...build });
    expect(await authorizer.status()).toMatchObject(build);
    expect(await authorizer.metrics()).toContain(
      `curfew_build_info{version="${version}",revision="unknown"} 1`,
    );
  });

  it('is built into a bundle together with the revision', () => {
    const out = temporaryDirectory();
    const args = ['--out', out, '--version', version, '--revision', '4f1c0de', 'injector', 'curfew'];
    run(process.execPath, 'scripts/bundle.ts', ...args);
    const node = process.versions.node;
    expect(run(process.execPath, join(out, 'injector.mjs'), '--version')).toBe(
      `curfew injector ${version} (revision 4f1c0de, Node ${node})\n`,
    );
    expect(run(process.execPath, join(out, 'curfew.mjs'), '--version')).toBe(
      `curfew ${version} (revision 4f1c0de, Node ${node})\n`,
    );
  });

  it('stops a build that was given another version', () => {
    const args = ['scripts/bundle.ts', '--out', temporaryDirectory(), '--version', '9.9.9', 'injector'];
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: repository, encoding: 'utf8' });
    expect(status).not.toBe(0);
    expect(stderr).toContain(`--version is 9.9.9, but package.json has ${version}`);
  });

  it('is the same in package.json and everywhere else', () => {
    const written = {
      'package-lock.json': [...read('package-lock.json').matchAll(/^ {2,6}"version": "(.*)",$/gm)].slice(
        0,
        2,
      ),
      Dockerfile: [...read('Dockerfile').matchAll(/^ARG VERSION=(.*)$/gm)],
      'charts/curfew/Chart.yaml': [
        ...read('charts/curfew/Chart.yaml').matchAll(/^(?:appV|v)ersion: "?([^"\n]*)"?$/gm),
      ],
    };
    const tagged = run('git', 'grep', '-nIoE', 'curfew-[a-z$]+:[0-9][0-9.a-z-]*', '--', '.', ':!test')
      .trim()
      .split('\n');
    expect(Object.entries(written).map(([file, found]) => [file, found.map(([, one]) => one)])).toEqual([
      ['package-lock.json', [version, version]],
      ['Dockerfile', [version]],
      ['charts/curfew/Chart.yaml', [version, version]],
    ]);
    expect(tagged.length).toBeGreaterThan(5);
    expect(tagged.filter((line) => !line.endsWith(`:${version}`))).toEqual([]);
  });

  it('has a dated section in the changelog', () => {
    expect(read('CHANGELOG.md')).toMatch(new RegExp(`^## ${version} - 20\\d\\d-\\d\\d-\\d\\d$`, 'm'));
  });
});
