import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { parse } from 'yaml';
import { injectorSchema } from '../../src/config/injector.ts';
import { injectionOptions } from '../../src/programs/injector.ts';
import type { PatchOperation } from '../../src/injection/admission-review.ts';
import { decideInjection, type InjectionOptions } from '../../src/injection/injection.ts';
import { podSchema, type Pod } from '../../src/injection/pod.ts';

export const fixtureFile = (name: string): string => join(import.meta.dirname, 'fixtures', name);

/** A pod as it is written in `fixtures/`. */
export const podFixture = (name: string): Pod =>
  v.parse(podSchema, parse(readFileSync(fixtureFile(name), 'utf8')));

/** A configuration of the injector as the chart writes it. */
export const injectorSettings = {
  tls: { cert: '/etc/curfew/tls/tls.crt', key: '/etc/curfew/tls/tls.key' },
  images: {
    authorizer: 'curfew-authorizer:1',
    envoy: 'envoyproxy/envoy:v1.40.0',
    redirect: 'curfew-redirect:1',
  },
  networkPolicy: { namespaces: ['shop'] },
  secretMounts: [{ secret: 'curfew-redis', path: '/etc/curfew/redis' }],
  authorizer: {
    issuers: [{ issuer: 'https://idp.example', audiences: ['orders'] }],
    revocation: {
      redis: { url: 'redis://redis.curfew:6379', password: { file: '/etc/curfew/redis/password' } },
    },
  },
};

/** Options with numbered probe paths instead of random ones. */
export function options(settings: Record<string, unknown> = {}): InjectionOptions {
  let paths = 0;
  const config = v.parse(injectorSchema, { ...injectorSettings, ...settings });
  const made = injectionOptions(config);
  return { ...made, patch: { ...made.patch, newPath: () => `probe-${(paths += 1)}` } };
}

/** A pod with one container that declares the given ports, and annotations under `curfew/`. */
export function podWith(
  ports: readonly Record<string, unknown>[],
  annotations: Record<string, string> = {},
  container: Record<string, unknown> = {},
): Pod {
  return v.parse(podSchema, {
    metadata: { generateName: 'web-', annotations },
    spec: { containers: [{ name: 'web', image: 'web:1', ports, ...container }] },
  });
}

export const decide = (pod: Pod, given: InjectionOptions = options(), namespace = 'shop') =>
  decideInjection({ uid: 'uid-1', namespace, pod }, given);

/** The pod after its admission; fails when it isn't injected. */
export function injected(pod: Pod, given: InjectionOptions = options()): Pod {
  const outcome = decide(pod, given);
  if (outcome.kind !== 'injected') throw new Error(`not injected: ${JSON.stringify(outcome)}`);
  return v.parse(podSchema, applied(pod, outcome.patch));
}

/** RFC 6902, as far as the injector uses it. */
export function applied(pod: Pod, patch: readonly PatchOperation[]): unknown {
  const result: unknown = structuredClone(pod);
  for (const operation of patch) {
    const steps = operation.path.split('/').slice(1);
    const last = steps.pop() ?? '';
    let at = result as Record<string, unknown>;
    for (const step of steps) at = at[step] as Record<string, unknown>;
    if (operation.op === 'add') at[last] = operation.value;
    else delete at[last];
  }
  return result;
}

/** The configuration in Envoy's arguments, with Kubernetes' variables replaced as kubelet replaces them. */
export function envoyConfigOf(pod: Pod, podIp = '10.0.0.7'): Record<string, never> {
  const envoy = pod.spec.initContainers?.find(({ name }) => name === 'curfew-envoy');
  const args = envoy?.['args'] as string[];
  const text = args[args.indexOf('--config-yaml') + 1] ?? '';
  const expanded = text.replaceAll(/\$\$|\$\(POD_IP\)/g, (found) => (found === '$$' ? '$' : podIp));
  return JSON.parse(expanded) as Record<string, never>;
}
