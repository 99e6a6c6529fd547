import { isLoopbackAddress, lintCheck, lintOverride } from './check-rules.ts';
import { lintManager } from './manager-rules.ts';
import type { LintOptions } from './options.ts';
import { at, type Node } from './node.ts';
import { findPieces, routeTableOf, type Pieces } from './pieces.ts';
import { assumedCheck } from './route-policies.ts';
import { lintRoutes, routeFacts } from './route-rules.ts';
import { finding, type Finding, type Severity } from './rules.ts';
import { textValue } from './values.ts';

export type LintReport =
  | { readonly kind: 'linted'; readonly findings: readonly Finding[] }
  /** No part of an Envoy configuration was found, which differs from one without findings. */
  | { readonly kind: 'unrecognized'; readonly message: string };

const order: readonly Severity[] = ['error', 'warn', 'info'];

/**
 * Finds risky settings around ext_authz in a bootstrap, a listener, an LDS or RDS response, a `/config_dump`,
 * or any other document that contains such parts. Never throws. Cost: linear in the documents, times the
 * filters of a chain.
 * @param documents parsed YAML or JSON
 */
export function lintEnvoy(documents: readonly unknown[], options: LintOptions): LintReport {
  const roots = documents.map((value, index): Node => ({
    value,
    path: documents.length === 1 ? '' : `document[${index}]`,
  }));
  const pieces = findPieces(roots);
  if (pieces === undefined) return { kind: 'unrecognized', message: 'the document is too large' };
  const { managers, checks, routeTables, admins } = pieces;
  if ([managers, checks, routeTables, admins].every((found) => found.length === 0))
    return {
      kind: 'unrecognized',
      message: 'it has no HTTP connection manager, ext_authz filter, route configuration or admin address',
    };
  const findings = [
    ...admins.flatMap(lintAdmin),
    ...managers.flatMap((manager) => lintManager(manager, pieces, options)),
    ...checks.flatMap((check) => lintCheck(check, pieces)),
    ...pieces.overrides.flatMap(lintOverride),
    ...foreignTables(pieces).flatMap((table) => lintRoutes(routeFacts(table, assumedCheck(table)))),
  ];
  return { kind: 'linted', findings: withoutRepeats(findings).toSorted(bySeverity) };
}

/** Route configurations whose listeners are in other documents. */
function foreignTables(pieces: Pieces): readonly Node[] {
  const known = new Set(pieces.managers.map((manager) => routeTableOf(manager, pieces)?.path));
  return pieces.routeTables.filter(({ path }) => !known.has(path));
}

// Two listeners may share their routes.
function withoutRepeats(findings: readonly Finding[]): Finding[] {
  const seen = new Set<string>();
  return findings.filter(({ rule, path }) => {
    const key = `${rule} ${path}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

function lintAdmin(admin: Node): Finding[] {
  const address = at(admin, 'address', 'socket_address', 'address');
  if (address === undefined || isLoopbackAddress(textValue(address))) return [];
  return [finding('admin-public', address.path, `the admin port listens on ${String(address.value)}`)];
}

const bySeverity = (one: Finding, other: Finding): number =>
  order.indexOf(one.severity) - order.indexOf(other.severity);
