import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments, stringify } from 'yaml';
import { lastingDirectory } from '../temporary.ts';

const run = promisify(execFile);

export const chart = join(import.meta.dirname, '..', '..', 'charts', 'curfew');

/** A Kubernetes object, as far as tests look at it. */
export type Manifest = {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  data?: Record<string, string>;
  stringData?: Record<string, string>;
  spec?: Record<string, never>;
  webhooks?: Record<string, never>[];
};

/** Runs Helm, the one on PATH or the one that `HELM` names; returns its output. */
export async function helm(...args: readonly string[]): Promise<string> {
  const { stdout } = await run(process.env['HELM'] ?? 'helm', args, {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}

/** A file with values. */
export function valuesFile(values: Record<string, unknown>): string {
  const file = join(lastingDirectory(), 'values.yaml');
  writeFileSync(file, stringify(values));
  return file;
}

/** Renders the chart. Rejects, with Helm's message, where it refuses. */
export async function render(
  values: Record<string, unknown>,
  ...args: readonly string[]
): Promise<Manifest[]> {
  const text = await helm(
    'template',
    'curfew',
    chart,
    '--namespace',
    'curfew',
    '--kube-version',
    '1.31.0',
    '--values',
    valuesFile(values),
    ...args,
  );
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

/** Why Helm refuses. */
export async function refusal(values: Record<string, unknown>): Promise<string> {
  try {
    await render(values);
  } catch (thrown) {
    return String((thrown as { stderr?: string }).stderr);
  }
  return '';
}
