import * as v from 'valibot';
import { parseDurationMs } from '../runtime/config-values.ts';
import type { PathMatch, EnvoyRoutePolicy } from './envoy-options.ts';
import { annotations } from './names.ts';
import { refusePod, type PodRefusal } from './refusal.ts';

export type Capture = 'redirect' | 'proxy';

/** A port in an annotation: the name of a container port, or a number. */
export type PortName = { readonly text: string; readonly protocol: 'TCP' | 'UDP' };

export type ResourceRequirements = {
  readonly requests?: Readonly<Record<string, string>> | undefined;
  readonly limits?: Readonly<Record<string, string>> | undefined;
};

/** The settings in a pod's annotations. */
export type PodSettings = {
  readonly capture: Capture;
  /** The ports to protect. Undefined: every declared TCP port that isn't open. */
  readonly ports: readonly PortName[] | undefined;
  readonly openPorts: readonly PortName[];
  readonly policy: EnvoyRoutePolicy;
  readonly publicPaths: readonly PathMatch[];
  readonly corsPreflight: 'allow' | 'deny';
  readonly maxStreamDurationMs: number | undefined;
  /** The number of proxies in front, whose `X-Forwarded-Proto` the application gets. */
  readonly trustedProxyHops: number;
  readonly resources: {
    readonly authorizer?: ResourceRequirements | undefined;
    readonly envoy?: ResourceRequirements | undefined;
    readonly redirect?: ResourceRequirements | undefined;
  };
};

/** The settings of a pod without annotations for them. */
export type SettingDefaults = Pick<PodSettings, 'capture' | 'trustedProxyHops'>;

export type ParsedSettings = { readonly kind: 'settings'; readonly settings: PodSettings } | PodRefusal;

const maxListItems = 64;
const list = (text: string): string[] => text.split(/[\s,]+/).filter((item) => item !== '');

const portPattern = /^(?<name>[a-z0-9-]{1,15})(?:\/(?<protocol>tcp|udp))?$/i;

const ports = v.pipe(
  v.string(),
  v.transform(list),
  v.maxLength(maxListItems),
  v.check(
    (items) => items.every((item) => portPattern.test(item)),
    'must be port names or numbers, such as `http, 9090, 53/udp`',
  ),
  v.transform((items) =>
    items.map((item): PortName => {
      const groups = portPattern.exec(item)?.groups;
      return {
        text: groups?.['name'] ?? item,
        protocol: groups?.['protocol']?.toLowerCase() === 'udp' ? 'UDP' : 'TCP',
      };
    }),
  ),
);

// RFC 6749 §3.3: scope-token.
const scopes = v.pipe(
  v.string(),
  v.transform(list),
  v.minLength(1, 'must name at least one scope'),
  v.maxLength(maxListItems),
  v.check(
    (items) => items.every((item) => /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/.test(item)),
    'must be scopes, separated by spaces',
  ),
);

const publicPaths = v.pipe(
  v.string(),
  v.transform(list),
  v.maxLength(maxListItems),
  v.check(
    (items) => items.every((item) => item.startsWith('/') && item.length <= 1024),
    'must be paths, such as `/health, /static/*`',
  ),
  v.transform((items) =>
    items.map((item): PathMatch => (item.endsWith('/*') ? { prefix: item.slice(0, -1) } : { exact: item })),
  ),
);

const duration = (minMs: number) =>
  v.pipe(
    v.string(),
    v.check(
      (text) => (parseDurationMs(text) ?? 0) >= minMs,
      `must be a duration of at least ${minMs / 1000}s, such as 30s or 5m`,
    ),
  );

const quantities = v.record(
  v.picklist(['cpu', 'memory', 'ephemeral-storage']),
  v.pipe(v.string(), v.regex(/^\d{1,12}(?:\.\d{1,6})?(?:m|k|Ki|M|Mi|G|Gi)?$/)),
);
const requirements = v.strictObject({ requests: v.optional(quantities), limits: v.optional(quantities) });
const resources = v.pipe(
  v.string(),
  v.maxLength(4096),
  v.transform(parseJson),
  v.strictObject({
    authorizer: v.optional(requirements),
    envoy: v.optional(requirements),
    redirect: v.optional(requirements),
  }),
);

/** The annotations that a pod may have under `curfew/`. */
const settingSchemas = {
  [annotations.ports]: ports,
  [annotations.openPorts]: ports,
  [annotations.audience]: v.pipe(v.string(), v.minLength(1), v.maxLength(1024)),
  [annotations.scopes]: scopes,
  [annotations.publicPaths]: publicPaths,
  [annotations.maxExposure]: duration(10_000),
  [annotations.capture]: v.picklist(['redirect', 'proxy'], 'must be redirect or proxy'),
  [annotations.corsPreflight]: v.picklist(['allow', 'deny'], 'must be allow or deny'),
  [annotations.maxStreamDuration]: duration(1000),
  [annotations.trustedProxyHops]: v.pipe(
    v.string(),
    v.regex(/^[0-8]$/, 'must be a number from 0 to 8'),
    v.transform(Number),
  ),
  [annotations.resources]: resources,
} as const;

type SettingName = keyof typeof settingSchemas;
type Settings = { [Name in SettingName]?: v.InferOutput<(typeof settingSchemas)[Name]> };

const prefix = 'curfew/';
const ours: ReadonlySet<string> = new Set([annotations.authorizerConfig, annotations.rewritten]);

/**
 * Reads a pod's annotations. An unknown one that starts with `curfew/` is refused: it may be a misspelt one,
 * and then the protection that it asks for would be missing.
 */
export function parsePodSettings(
  given: Readonly<Record<string, string>>,
  defaults: SettingDefaults,
): ParsedSettings {
  const found: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(given)) {
    if (!name.startsWith(prefix) || ours.has(name)) continue;
    if (!isSettingName(name))
      return refusePod(
        'invalid_annotation',
        `${name} is not an annotation of Curfew; remove it or correct its spelling`,
      );
    const parsed = v.safeParse(settingSchemas[name], text);
    if (!parsed.success) return refusePod('invalid_annotation', `${name}: ${parsed.issues[0].message}`);
    found[name] = parsed.output;
  }
  return { kind: 'settings', settings: toSettings(found, defaults) };
}

function toSettings(found: Settings, defaults: SettingDefaults): PodSettings {
  const audience = found[annotations.audience];
  const wantedScopes = found[annotations.scopes];
  const maxExposure = found[annotations.maxExposure];
  const maxStream = found[annotations.maxStreamDuration];
  return {
    capture: found[annotations.capture] ?? defaults.capture,
    ports: found[annotations.ports],
    openPorts: found[annotations.openPorts] ?? [],
    policy: {
      ...(audience !== undefined && { audience }),
      ...(wantedScopes !== undefined && { scopes: wantedScopes }),
      ...(maxExposure !== undefined && { maxExposure }),
    },
    publicPaths: found[annotations.publicPaths] ?? [],
    corsPreflight: found[annotations.corsPreflight] ?? 'allow',
    maxStreamDurationMs: maxStream === undefined ? undefined : parseDurationMs(maxStream),
    trustedProxyHops: found[annotations.trustedProxyHops] ?? defaults.trustedProxyHops,
    resources: found[annotations.resources] ?? {},
  };
}

const isSettingName = (name: string): name is SettingName => Object.hasOwn(settingSchemas, name);

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
