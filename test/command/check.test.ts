import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { checkCommand } from '../../src/command/check.ts';
import { Fault } from '../../src/runtime/fault.ts';
import { injected, injectorSettings, podFixture } from '../injection/fixtures.ts';
import { repository } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';

const namespace = (name: string, labels: Record<string, string> = {}): object => ({
  kind: 'Namespace',
  metadata: { name, labels },
});
const pod = (namespaceName: string, name: string, spec: object = { containers: [] }): object => ({
  kind: 'Pod',
  metadata: { name, namespace: namespaceName },
  spec,
  status: { phase: 'Running' },
});

const { spec: withSidecars } = injected(podFixture('file-server.yaml'));
const enabled = { 'curfew/inject': 'enabled' };
const list = (...items: object[]): string =>
  JSON.stringify({
    kind: 'List',
    items: [namespace('shop', enabled), namespace('curfew', enabled), ...items],
  });
const good = list(pod('shop', 'orders-1', withSidecars));
const bad = list(pod('shop', 'orders-1', withSidecars), pod('shop', 'old-2'), pod('curfew', 'injector-3'));

type Outcome = { exitCode: number | null; printed: string; warned: string };

async function check(text: string, ...args: readonly string[]): Promise<Outcome> {
  const file = join(temporaryDirectory(), 'list.json');
  writeFileSync(file, text);
  let printed = '';
  const output = { print: (line: string) => void (printed += line), warn: () => {} };
  try {
    return { exitCode: await checkCommand.run(['pods', file, ...args], output), printed, warned: '' };
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    return { exitCode: null, printed, warned: `${thrown.code} ${thrown.message}` };
  }
}

/** As a person runs it, with a kubectl of ours on the path. */
function spawned(args: readonly string[], input: string, kubectl = 'exit 9'): Outcome {
  const folder = temporaryDirectory();
  writeFileSync(join(folder, 'kubectl'), `#!/bin/sh\n${kubectl}\n`, { mode: 0o755 });
  const { status, stdout, stderr } = spawnSync(
    join(repository, 'bin', 'curfew'),
    ['check', 'pods', ...args],
    {
      input,
      encoding: 'utf8',
      env: { ...process.env, PATH: `${folder}:${process.env['PATH']}` },
    },
  );
  return { exitCode: status, printed: stdout, warned: stderr };
}

describe('curfew check pods', () => {
  it('ends with 0 if all pods that ask for the sidecars have them', async () => {
    expect(await check(good)).toEqual({
      exitCode: 0,
      printed: 'all 1 running pods that ask for protection have it',
      warned: '',
    });
  });

  it('ends with 1, and names the pods without them', async () => {
    const { exitCode, printed } = await check(bad);
    expect(exitCode).toBe(1);
    expect(printed.split('\n')).toEqual([
      'shop/old-2 runs without the sidecars: restart it',
      'curfew/injector-3 runs without the sidecars: restart it',
      '2 of 3 running pods that ask for protection lack it',
    ]);
  });

  it('prints JSON, without excluded namespaces', async () => {
    const { printed } = await check(bad, '--exclude', 'curfew', '--json');
    expect(JSON.parse(printed)).toEqual({
      wanted: 2,
      unprotected: [{ namespace: 'shop', pod: 'old-2', reason: 'no_sidecars' }],
    });
  });

  it("excludes what the injector's configuration excludes", async () => {
    const file = join(temporaryDirectory(), 'injector.yaml');
    writeFileSync(file, stringify({ ...injectorSettings, excludeNamespaces: ['curfew', 'shop'] }));
    expect(await check(bad, '--config', file)).toMatchObject({ exitCode: 0 });
  });

  const proxied = (namespaceName: string): object => {
    const { spec, metadata } = injected(podFixture('proxied.yaml'));
    const { labels, annotations } = metadata;
    return {
      ...pod(namespaceName, 'cart-4', spec),
      metadata: { name: 'cart-4', namespace: namespaceName, labels, annotations },
    };
  };
  const policy = (name: string, ingress: object[]): object => ({
    kind: 'NetworkPolicy',
    metadata: { name, namespace: 'shop' },
    spec: { podSelector: { matchLabels: { 'curfew/injected': 'proxy' } }, policyTypes: ['Ingress'], ingress },
  });

  it('names pods whose own port no policy closes, with the reason', async () => {
    const without = await check(list(proxied('shop')));
    expect(without.exitCode).toBe(1);
    expect(without.printed).toContain(
      'shop/cart-4 has proxy capture, but no NetworkPolicy in the list selects it: its own port 8080 is reachable without a token',
    );
    const policies = [policy('closes', []), policy('opens', [{ ports: [{ port: 8080 }] }])];
    const opened = await check(list(proxied('shop'), ...policies));
    expect(opened.printed).toContain(
      'shop/cart-4 has proxy capture, but NetworkPolicy opens opens its own port 8080',
    );
    expect(await check(list(proxied('shop'), policy('closes', [])))).toMatchObject({ exitCode: 0 });
  });

  it('trusts a configuration that says that other policies close it', async () => {
    const file = join(temporaryDirectory(), 'injector.yaml');
    writeFileSync(file, stringify({ ...injectorSettings, networkPolicy: { managedExternally: true } }));
    expect(await check(list(proxied('shop')), '--config', file, '--exclude', 'curfew')).toMatchObject({
      exitCode: 0,
    });
  });

  it.each([
    ['{', 'ERR_CONFIG_INVALID not JSON; expected the output of: kubectl get namespaces,pods,networkpolicies'],
    ['{"items":[]}', 'ERR_CONFIG_INVALID there is no namespace in the list'],
    ['[]', 'ERR_CONFIG_INVALID not a list of namespaces, pods and NetworkPolicies'],
  ])('fails for a list that it cannot read: %s', async (text, message) => {
    expect(await check(text)).toMatchObject({ exitCode: null, warned: expect.stringContaining(message) });
  });

  it('reads standard input', () => {
    expect(spawned([], bad)).toMatchObject({ exitCode: 1, printed: expect.stringContaining('shop/old-2') });
    expect(spawned(['-'], '')).toMatchObject({ exitCode: 2, warned: expect.stringContaining('not JSON') });
  });

  it('runs kubectl, in the given context', () => {
    const file = join(temporaryDirectory(), 'list.json');
    writeFileSync(file, bad);
    const kubectl = `[ "$*" = 'get namespaces,pods,networkpolicies --all-namespaces --output json --context prod' ] && cat ${file}`;
    expect(spawned(['--kubectl', '--context', 'prod'], '', kubectl)).toMatchObject({
      exitCode: 1,
      printed: expect.stringContaining('shop/old-2'),
    });
  });

  it('ends with 2, and with what kubectl says, when kubectl fails', () => {
    expect(spawned(['--kubectl'], '', 'echo no such cluster >&2; exit 1')).toMatchObject({
      exitCode: 2,
      warned: expect.stringContaining('no such cluster'),
    });
  });
});
