import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { injectorSchema } from '../config/injector.ts';
import {
  findUnprotectedPods,
  type CoverageRules,
  type PodCoverage,
  type UnprotectedPod,
} from '../injection/coverage.ts';
import { processEnvironment, loadConfig } from '../runtime/config.ts';
import { Fault } from '../runtime/fault.ts';
import { describeError } from '../runtime/log.ts';
import { optionalText, parseCommandLine, usageFault, type Command } from './command.ts';
import { readInput } from './input.ts';

/** Room for about 20,000 pods. */
const maxListBytes = 256 * 1024 * 1024;
const kubectlTimeoutMs = 120_000;
const kubectlArgs = ['get', 'namespaces,pods,networkpolicies', '--all-namespaces', '--output', 'json'];

export const checkCommand: Command = {
  usage: [
    'check pods [FILE|-] [--config INJECTOR_FILE] [--exclude NAMESPACE …] [--json] < LIST',
    'check pods --kubectl [--context NAME] [--config INJECTOR_FILE] [--exclude NAMESPACE …] [--json]',
  ],
  run: async (args, { print }) => {
    const parsed = parseCommandLine(
      args,
      {
        kubectl: { type: 'boolean' },
        context: { type: 'string' },
        config: { type: 'string' },
        exclude: { type: 'string', multiple: true },
        json: { type: 'boolean' },
      },
      { min: 1, max: 2 },
    );
    const [what, file] = parsed.positionals;
    if (what !== 'pods') throw usageFault(`unknown command "check ${what ?? ''}"; expected one of pods`);
    const excluded = parsed.values['exclude'];
    const rules = coverageRules(optionalText(parsed, 'config'), Array.isArray(excluded) ? excluded : []);
    const list = await readList(file, parsed.values['kubectl'] === true, optionalText(parsed, 'context'));
    const coverage = findUnprotectedPods(parseList(list), rules);
    if (coverage.kind === 'malformed') throw notAList(coverage.message);
    const { wanted, unprotected } = coverage;
    print(parsed.values['json'] === true ? JSON.stringify({ wanted, unprotected }) : describe(coverage));
    return unprotected.length === 0 ? 0 : 1;
  },
};

// Without the injector's configuration, its defaults apply.
function coverageRules(configFile: string | undefined, excluded: readonly string[]): CoverageRules {
  if (configFile === undefined) {
    const byDefault = v.getDefault(injectorSchema.pipe[0].entries.excludeNamespaces);
    const excludeNamespaces = new Set([...byDefault, ...excluded]);
    return { excludeNamespaces, allowOptOut: true, networkPolicyElsewhere: false };
  }
  const config = loadConfig({ schema: injectorSchema, file: configFile });
  return {
    excludeNamespaces: new Set([...config.excludeNamespaces, ...excluded]),
    allowOptOut: config.allowOptOut,
    networkPolicyElsewhere: config.networkPolicy.managedExternally,
  };
}

async function readList(
  file: string | undefined,
  usesKubectl: boolean,
  context: string | undefined,
): Promise<string> {
  if (file !== undefined && usesKubectl) throw usageFault('use either FILE or --kubectl, not both');
  if (usesKubectl || (file === undefined && process.stdin.isTTY)) return runKubectl(context);
  if (context !== undefined) throw usageFault('--context requires --kubectl');
  return readInput(file ?? '-', maxListBytes);
}

async function runKubectl(context: string | undefined): Promise<string> {
  const args = context === undefined ? kubectlArgs : [...kubectlArgs, '--context', context];
  try {
    const { stdout } = await promisify(execFile)('kubectl', args, {
      env: processEnvironment(),
      encoding: 'utf8',
      maxBuffer: maxListBytes,
      timeout: kubectlTimeoutMs,
    });
    return stdout;
  } catch (thrown) {
    // Node's message contains the standard error of kubectl.
    throw new Fault('ERR_CONFIG_UNREADABLE', `cannot run kubectl: ${describeError(thrown).message.trim()}`);
  }
}

function parseList(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw notAList('not JSON');
  }
}

const notAList = (problem: string): Fault =>
  new Fault('ERR_CONFIG_INVALID', `${problem}; expected the output of: kubectl ${kubectlArgs.join(' ')}`);

function describe({ wanted, unprotected }: Extract<PodCoverage, { kind: 'coverage' }>): string {
  const lines = unprotected.map((one) => `${one.namespace}/${one.pod} ${why(one)}`);
  const summary =
    unprotected.length === 0
      ? `all ${wanted} running pods that ask for protection have it`
      : `${unprotected.length} of ${wanted} running pods that ask for protection lack it`;
  return [...lines, summary].join('\n');
}

function why(pod: UnprotectedPod): string {
  switch (pod.reason) {
    case 'no_sidecars':
      return 'runs without the sidecars: restart it';
    case 'no_network_policy': {
      const port = pod.port === undefined ? 'ports are' : `port ${pod.port} is`;
      const effect = `its own ${port} reachable without a token`;
      return `has proxy capture, but no NetworkPolicy in the list selects it: ${effect}`;
    }
    case 'port_open': {
      const cause = `NetworkPolicy ${pod.policy} opens its own port ${pod.port}`;
      return `has proxy capture, but ${cause}, which is then reachable without a token`;
    }
  }
}
