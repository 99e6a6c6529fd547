import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { envoyLintCommand } from '../../src/command/envoy-lint.ts';
import { Fault } from '../../src/runtime/fault.ts';
import { partsOf, put, recommended, type Parts } from '../envoy-lint/samples.ts';
import { repository } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';

type Outcome = { exitCode: number | null; printed: string; warned: string };

/** As a person runs it, with the text on standard input. */
function lintInput(input: string): Outcome {
  const { status, stdout, stderr } = spawnSync(join(repository, 'bin', 'curfew'), ['envoy-lint', '-'], {
    input,
    encoding: 'utf8',
  });
  return { exitCode: status, printed: stdout, warned: stderr };
}

/** The command in this process, with the text as a file. */
async function lint(args: readonly string[], text?: string): Promise<Outcome> {
  const file = join(temporaryDirectory(), 'envoy.yaml');
  if (text !== undefined) writeFileSync(file, text);
  let printed = '';
  const output = { print: (line: string) => void (printed += line), warn: () => {} };
  try {
    const all = text === undefined ? args : [file, ...args];
    return { exitCode: await envoyLintCommand.run(all, output), printed, warned: '' };
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    return { exitCode: exitCodes[thrown.code] ?? 1, printed, warned: thrown.message };
  }
}

const exitCodes: Readonly<Record<string, number>> = {
  ERR_USAGE: 2,
  ERR_CONFIG_INVALID: 2,
  ERR_CONFIG_UNREADABLE: 2,
};

function text(change: (parts: Parts) => void = () => {}): string {
  const root = recommended();
  change(partsOf(root));
  return stringify(root);
}

const open = text(({ check }) => put(check, { failure_mode_allow: true }));
const slow = text(({ check }) => put(check, { grpc_service: { timeout: '5s' } }));

describe('curfew envoy-lint', () => {
  it('ends with 0 for what envoy-config prints, and shows its public paths as notes', () => {
    const { exitCode, printed } = lintInput(text());
    expect(printed).toContain('info   route-unchecked: no check for path "/healthz"');
    expect(printed).toContain('errors: 0, warnings: 0, notes: 2');
    expect(exitCode).toBe(0);
  });

  it('ends with 1 for an error, and says where, why and what to configure instead', async () => {
    const { exitCode, printed } = await lint([], open);
    expect(exitCode).toBe(1);
    expect(printed).toContain('error  failure-mode-allow: ');
    expect(printed).toContain(
      'at static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[1].typed_config.failure_mode_allow',
    );
    expect(printed).toContain('instead: failure_mode_allow: false');
  });

  it('ends with 0 for a warning, and with 1 if it is strict', async () => {
    expect(await lint([], slow)).toMatchObject({
      exitCode: 0,
      printed: expect.stringContaining('warn   timeout-long'),
    });
    expect((await lint(['--strict'], slow)).exitCode).toBe(1);
  });

  it('prints for machines', async () => {
    const { findings, counts } = JSON.parse((await lint(['--json'], open)).printed) as {
      findings: Record<string, string>[];
      counts: Record<string, number>;
    };
    expect(counts).toEqual({ error: 1, warn: 0, info: 2 });
    expect(Object.keys(findings[0] ?? {})).toEqual(['rule', 'severity', 'path', 'what', 'why', 'instead']);
  });

  it('leaves out ignored findings, by rule and by path, and counts them', async () => {
    const ignoring = (what: string): Promise<Outcome> => lint(['--ignore', what], open);
    const all = await ignoring('failure-mode-allow');
    expect(all).toMatchObject({ exitCode: 0, printed: expect.stringContaining(', 1 ignored') });
    expect((await ignoring('failure-mode-allow@static_resources.listeners[0]')).exitCode).toBe(0);
    expect((await ignoring('failure-mode-allow@static_resources.listeners[1]')).exitCode).toBe(1);
  });

  it("takes prefix and credential from the authorizer's configuration", async () => {
    const file = join(temporaryDirectory(), 'authorizer.yaml');
    writeFileSync(
      file,
      'issuers: [{ issuer: "https://idp.example", audiences: [a] }]\nupstream: { prefix: x-user-, headers: { x-user-subject: sub } }\n',
    );
    expect(await lint(['--config', file], text())).toMatchObject({
      exitCode: 1,
      printed: expect.stringContaining('reserved-headers-kept'),
    });
  });

  it.each([
    ['a file that is not there', ['/nowhere/envoy.yaml'], undefined, /cannot read \/nowhere\/envoy\.yaml/],
    ['what is neither YAML nor JSON', [], 'a: [', /neither YAML nor JSON/],
    ['what has nothing of Envoy', [], 'kind: Namespace', /not an Envoy configuration/],
    ['a rule that does not exist', ['--ignore', 'x'], open, /no such rule/],
    ['no file', [], undefined, /argument is missing/],
    ['what is too large', [], `# ${'x'.repeat(64 * 1024 * 1024)}`, /envoy\.yaml is larger than 64 MiB/],
  ])('ends with 2 for %s', async (_, args, input, message) => {
    const { exitCode, warned } = await lint(args, input);
    expect(warned).toMatch(message);
    expect(exitCode).toBe(2);
  });

  it('ends with 2 for an empty standard input', () => {
    expect(lintInput('')).toMatchObject({
      exitCode: 2,
      warned: expect.stringContaining('not an Envoy configuration'),
    });
  });
});
