import { beforeAll, describe, expect, it } from 'vitest';
import { readDocuments } from '../../src/envoy-lint/documents.ts';
import { at, items, type Node } from '../../src/envoy-lint/node.ts';
import { booleanValue, isEnum, numberValue, secondsValue, textValue } from '../../src/envoy-lint/values.ts';
import { startEnvoyWith } from '../envoy/envoy-process.ts';

/** A field of a virtual host or of its route, spellings that Envoy accepts, and how the linter reads them. */
type Kind = {
  readonly name: string;
  readonly place: 'host' | 'route';
  readonly field: string;
  readonly spellings: readonly string[];
  read(node: Node | undefined): unknown;
  /** The same of what Envoy prints, in the one spelling that it prints; default: the value itself. */
  readPrinted?(value: unknown): unknown;
};

/** Separated by bars. A bar at the end adds the empty value. */
const spelled = (text: string): string[] => text.split('|').map((spelling) => spelling.trim());

const booleans = spelled(`
  true | True | TRUE | tRue | yes | Yes | YES | yEs | on | On | ON | y | Y | t | T | false |
  False | FALSE | fAlse | no | No | NO | nO | off | Off | OFF | n | N | f | F | "true" |
  "TRUE" | 'yes' | "y" | "T" | "1" | "false" | 'No' | "n" | "f" | "0" | ! yes | !!str on |
  !!str yes | !!bool "on" | !!bool "off" | &anchor on | null | ~ | NULL |`);

const kinds: readonly Kind[] = [
  {
    name: 'bool',
    place: 'host',
    field: 'include_request_attempt_count',
    spellings: booleans,
    read: (node) => booleanValue(node) ?? false,
    readPrinted: (value = false) => value,
  },
  {
    name: 'BoolValue',
    place: 'route',
    field: 'include_vh_rate_limits',
    spellings: [...booleans, '{ value: yes }', '{ value: "0" }'],
    read: booleanValue,
  },
  {
    name: 'UInt32Value',
    place: 'host',
    field: 'per_request_buffer_limit_bytes',
    spellings: spelled(
      `4 | "4" | 0x1F | "0x1F" | 017 | 08 | "017" | 2e1 | "2e1" | 6.0 | "6.0" | +5 | .5e1 | !!str 9 | !!int "9" | ! 010 | 4294967295 | null | { value: 3 } | { value: "0x3" }`,
    ),
    read: numberValue,
  },
  {
    name: 'enum',
    place: 'host',
    field: 'require_tls',
    spellings: spelled(
      `ALL | all | All | "aLL" | 2 | "2" | 0x2 | 02 | "02" | external_only | 1 | NONE | null`,
    ),
    read: (node) => isEnum(node, { ALL: 2 }),
    readPrinted: (value) => value === 'ALL',
  },
  {
    name: 'Duration',
    place: 'route',
    field: 'timeout',
    spellings: spelled(
      `3s | "3s" | 0.25s | 2.000000001s | 07s | 0s | !!str 4s | null | { seconds: 4 } | { seconds: "4", nanos: 500000000 } | { seconds: 0x5 } | {}`,
    ),
    read: secondsValue,
    readPrinted: (value) => (typeof value === 'string' ? Number(value.slice(0, -1)) : value),
  },
  {
    name: 'string',
    place: 'route',
    field: 'prefix_rewrite',
    spellings: ['plain', '"quoted"', "'yes'", '"12"', '! yes', '1.5', '2020-02-02', 'Null', 'null'],
    read: textValue,
  },
];

const hosts = kinds.flatMap(({ place, field, spellings }, kind) =>
  spellings.map((spelling, index) => {
    const given = `${field}: ${spelling} `;
    const [inHost, inRoute] = place === 'host' ? [`, ${given}`, ''] : ['', `, ${given}`];
    const name = `h${kind}-${index}`;
    return `{ name: ${name}, domains: [${name}]${inHost}, routes: [{ match: { prefix: / }, route: { cluster: c${inRoute} } }] }`;
  }),
);

const type = 'type.googleapis.com/envoy.extensions.filters';
const bootstrap = `
static_resources:
  clusters: [{ name: c, load_assignment: { cluster_name: c } }]
  listeners:
  - name: web
    address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
    filter_chains:
    - filters:
      - name: manager
        typed_config:
          "@type": ${type}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          http_filters: [{ name: router, typed_config: { "@type": ${type}.http.router.v3.Router } }]
          route_config:
            virtual_hosts:
            - ${hosts.join('\n            - ')}
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
`;

/** The virtual hosts of a bootstrap, by name. */
function hostsOf(root: unknown): Map<string | undefined, Node> {
  const listeners = at({ value: root, path: '' }, 'static_resources', 'listeners');
  const managers = items(listeners)
    .flatMap((listener) => items(at(listener, 'filter_chains')))
    .flatMap((chain) => items(at(chain, 'filters')));
  const found = managers.flatMap((manager) =>
    items(at(manager, 'typed_config', 'route_config', 'virtual_hosts')),
  );
  return new Map(found.map((host) => [textValue(at(host, 'name')), host]));
}

describe('the linter reads what Envoy reads in', () => {
  let dumped = new Map<string | undefined, Node>();
  let read = new Map<string | undefined, Node>();

  beforeAll(async () => {
    const envoy = await startEnvoyWith(bootstrap);
    const dump = JSON.parse(await envoy.admin('/config_dump')) as { configs: { bootstrap: unknown }[] };
    await envoy.stop();
    dumped = hostsOf(dump.configs[0]?.bootstrap);
    const documents = readDocuments(bootstrap);
    read = hostsOf(documents.kind === 'documents' ? documents.documents[0] : undefined);
  });

  it.each(
    kinds.flatMap((kind, number) =>
      kind.spellings.map((spelling, index) => ({ ...kind, spelling, host: `h${number}-${index}` })),
    ),
  )('$name $spelling', ({ host, place, field, read: value, readPrinted = (printed) => printed }) => {
    const fieldIn = (node: Node | undefined): Node | undefined => {
      const [route] = items(at(node, 'routes'));
      return place === 'host' ? at(node, field) : at(route, 'route', field);
    };
    expect(dumped.has(host)).toBe(true);
    expect(value(fieldIn(read.get(host)))).toEqual(readPrinted(fieldIn(dumped.get(host))?.value));
  });
});
