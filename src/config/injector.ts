import * as v from 'valibot';
import { durationMs, nonEmpty, tcpAddress } from '../runtime/config-values.ts';
import { authorizerSchema } from './authorizer.ts';
import { log } from './log.ts';
import { trustedProxyHops } from './log-owner.ts';
import { pathItem } from './problems.ts';

// RFC 1123 label: the name of a Kubernetes namespace.
const namespaceName = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'must be the name of a namespace'),
);
// RFC 1123 label, at most 49 characters: the name also becomes part of a volume's name.
const secretName = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9](?:[a-z0-9-]{0,47}[a-z0-9])?$/, 'must be the name of a Secret, at most 49 characters'),
);
const image = v.pipe(v.string(), v.regex(/^[\w.:/@-]{1,512}$/, 'must be an image reference'));

const quantities = v.record(
  v.picklist(['cpu', 'memory', 'ephemeral-storage']),
  v.pipe(
    v.string(),
    v.regex(/^\d{1,12}(?:\.\d{1,6})?(?:m|k|Ki|M|Mi|G|Gi)?$/, 'must be a quantity such as 50m or 96Mi'),
  ),
);
const resources = v.strictObject({ requests: v.optional(quantities), limits: v.optional(quantities) });

/**
 * The configuration of injected authorizers. It is stored in the pod's annotations, where everyone who can
 * read the pod sees it. So it must not contain secrets. The injector itself chooses the addresses of the
 * sidecars.
 */
const authorizerSettings = v.pipe(
  v.record(v.string(), v.unknown()),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const key of ['listen', 'admin', 'tls'] as const) {
      if (Object.hasOwn(dataset.value, key))
        addIssue(issueAt(dataset.value, [key], 'is chosen by the injector'));
    }
    const parsed = v.safeParse(authorizerSchema, dataset.value);
    for (const { path, message } of parsed.issues ?? []) {
      addIssue(
        issueAt(
          dataset.value,
          (path ?? []).map(({ key }) => key),
          message,
        ),
      );
    }
    for (const path of literalSecrets(dataset.value)) {
      addIssue(
        issueAt(
          dataset.value,
          path,
          'must be { file: PATH } of a mounted Secret: everyone who can read the pod sees these settings',
        ),
      );
    }
  }),
);

type Issue = Parameters<
  Parameters<Parameters<typeof v.rawCheck<Record<string, unknown>>>[0]>[0]['addIssue']
>[0];

function issueAt(input: Record<string, unknown>, keys: readonly unknown[], message: string): Issue {
  const [first, ...rest] = keys.map((key) => pathItem(key, input));
  return first === undefined ? { message } : { message, path: [first, ...rest] };
}

/** The paths of secrets that the settings contain literally. */
function literalSecrets(settings: Record<string, unknown>): string[][] {
  const redis = objectAt(objectAt(settings, 'revocation'), 'redis');
  const found = ['password', 'sentinelPassword'].filter((key) => typeof redis[key] === 'string');
  const url = redis['url'];
  if (typeof url === 'string' && URL.canParse(url) && new URL(url).password !== '') found.push('url');
  return found.map((key) => ['revocation', 'redis', key]);
}

function objectAt(parent: Record<string, unknown>, key: string): Record<string, unknown> {
  const value = parent[key];
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** Configuration of the admission webhook; see `docs/kubernetes.md`. */
export const injectorSchema = v.pipe(
  v.strictObject({
    listen: v.optional(tcpAddress, ':8443'),
    admin: v.optional(tcpAddress, '127.0.0.1:9022'),
    drain: v.optional(durationMs({ max: '10m' }), '10s'),
    tls: v.strictObject({ cert: nonEmpty(), key: nonEmpty() }),
    images: v.strictObject({ authorizer: image, envoy: image, redirect: image }),
    imagePullPolicy: v.optional(v.picklist(['Always', 'IfNotPresent', 'Never']), 'IfNotPresent'),
    excludeNamespaces: v.optional(v.pipe(v.array(namespaceName), v.maxLength(256)), [
      'kube-system',
      'kube-node-lease',
    ]),
    allowOptOut: v.optional(v.boolean(), true),
    allowSharedSecrets: v.optional(v.boolean(), false),
    capture: v.optional(v.picklist(['redirect', 'proxy']), 'redirect'),
    networkPolicy: v.optional(
      v.strictObject({
        namespaces: v.optional(v.pipe(v.array(namespaceName), v.maxLength(4096)), []),
        managedExternally: v.optional(v.boolean(), false),
      }),
      {},
    ),
    addressFamilies: v.optional(v.picklist(['dual', 'ipv4']), 'dual'),
    resources: v.optional(
      v.strictObject({
        authorizer: v.optional(resources, {}),
        envoy: v.optional(resources, {}),
        redirect: v.optional(resources, {}),
      }),
      {},
    ),
    envoy: v.optional(
      v.strictObject({
        concurrency: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64)), 2),
        logLevel: v.optional(v.picklist(['debug', 'info', 'warning', 'error', 'off']), 'warning'),
        accessLog: v.optional(v.picklist(['stdout', 'none']), 'stdout'),
        // A pod is reached through an ingress, which ends TLS; see `docs/kubernetes.md`.
        trustedProxyHops: v.optional(trustedProxyHops, 1),
      }),
      {},
    ),
    secretMounts: v.optional(
      v.pipe(
        v.array(
          v.strictObject({
            secret: secretName,
            path: v.pipe(
              v.string(),
              v.regex(
                /^\/etc\/curfew\/(?!config$)[a-z0-9-]{1,64}$/,
                'must be /etc/curfew/NAME, other than config',
              ),
            ),
          }),
        ),
        v.maxLength(8),
      ),
      [],
    ),
    authorizer: authorizerSettings,
    log,
  }),
  v.forward(
    v.check(
      ({ allowSharedSecrets, authorizer }) => allowSharedSecrets || !hasSharedSecret(authorizer),
      'with the shared `secret` of an issuer every pod could issue tokens; set allowSharedSecrets: true to accept that',
    ),
    ['allowSharedSecrets'],
  ),
  v.forward(
    v.check(
      ({ capture, networkPolicy: { namespaces, managedExternally } }) =>
        capture !== 'proxy' || managedExternally || namespaces.length > 0,
      'must name the namespaces whose NetworkPolicy blocks direct access to application ports; with capture: proxy, every pod would be refused otherwise',
    ),
    ['networkPolicy'],
  ),
);

function hasSharedSecret(settings: Record<string, unknown>): boolean {
  const { issuers } = settings;
  return (
    Array.isArray(issuers) &&
    issuers.some((one: unknown) => typeof one === 'object' && one !== null && 'secret' in one)
  );
}

export type InjectorConfig = v.InferOutput<typeof injectorSchema>;
