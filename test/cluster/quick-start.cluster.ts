import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lastingDirectory } from '../temporary.ts';
import { startClient, type Client } from './client.ts';
import { helm } from './helm.ts';
import { loadCommand } from './images.ts';
import {
  apply,
  deleteNamespaces,
  kubectl,
  needCluster,
  podsOf,
  repository,
  rollout,
  until,
} from './kubectl.ts';
import { namespace, redis, workload } from './workloads.ts';

const run = promisify(execFile);
const readme = readFileSync(join(repository, 'README.md'), 'utf8');
const section = readme.slice(readme.indexOf('## On Kubernetes')).split('\n## ', 1).join();
const fences = [...section.matchAll(/```(\w*)\n([^]*?)```/g)].map(([, language = '', text = '']) => ({
  language,
  text,
}));
const commands = fences.filter(({ language }) => language === 'sh').map(({ text }) => text);
const printed = fences.find(({ language }) => language === '')?.text ?? '';
const shortest = commands.at(-1) ?? '';

let client: Client;

beforeAll(() => needCluster());

afterAll(async () => {
  client?.close();
  await helm('uninstall', 'curfew', '-n', 'curfew', '--ignore-not-found', '--wait');
  await helm('uninstall', 'curfew', '-n', 'default', '--ignore-not-found', '--wait');
  await deleteNamespaces('curfew', 'shop', 'outside', 'data');
});

/**
 * Runs what the README prints in one shell. `docker push` is the cluster's own way to get an image, if it has
 * one.
 */
async function runPrinted(...printedCommands: readonly string[]): Promise<string> {
  const folder = lastingDirectory();
  const load = loadCommand()?.join(' ');
  const docker = execFileSync('sh', ['-c', 'command -v docker'], { encoding: 'utf8' }).trim();
  const shim = `#!/bin/sh\nif [ "$1" = push ]; then exec ${load} "$2"; fi\nexec ${docker} "$@"\n`;
  if (load !== undefined) {
    writeFileSync(join(folder, 'docker'), shim);
    chmodSync(join(folder, 'docker'), 0o755);
  }
  const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', printedCommands.join('\n')], {
    cwd: repository,
    encoding: 'utf8',
    maxBuffer: 16 * 1024 * 1024,
    env: { ...process.env, PATH: `${folder}:${process.env['PATH'] ?? ''}` },
  });
  return stdout;
}

/** Account ids differ. */
const withoutIds = (text: string): string => text.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID').trim();

describe("the README's quick start", () => {
  it('runs as printed, with the printed output, and leaves nothing behind', async () => {
    expect(commands.length).toBe(6);
    const output = withoutIds(await runPrinted(...commands.slice(0, -1)));
    expect(output).toContain(withoutIds(printed));
    const left = await kubectl('get', 'all', '-A', '-l', 'app.kubernetes.io/instance=curfew', '-o', 'name');
    expect(left).toBe('');
    expect(await kubectl('get', 'mutatingwebhookconfigurations', '-o', 'name')).toBe('');
  });

  it('has a shortest command that installs, creates the log, and protects labelled namespaces', async () => {
    await apply(namespace('data'), namespace('outside'), namespace('shop', { 'curfew/inject': 'enabled' }));
    await apply(...redis('data', 'redis'));
    await rollout('data', 'redis');
    expect(await runPrinted(shortest)).toContain('The revocation log "curfew" exists and has no owner');
    await rollout('default', 'curfew-injector');
    await apply(...workload({ name: 'closed', namespace: 'shop' }));
    client = await startClient('outside');
    const isClosed = async (): Promise<boolean> => {
      const [pod] = await podsOf('shop', 'closed');
      const ip = pod?.status.podIP;
      return ip !== undefined && [401, 503].includes((await client.request(`http://${ip}:8080/`)).status);
    };
    expect(await until('the service is closed', isClosed)).toBe(true);
  });
});
