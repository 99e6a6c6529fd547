import { containerNames } from './names.ts';
import type { Container, Pod } from './pod.ts';
import { formatQuantity, parseQuantity } from './quantity.ts';

export type PodResources = Pod['spec']['resources'];

/** A pod's own resources, before and after we enlarged them. */
export type EnlargedResources = {
  readonly before: NonNullable<PodResources>;
  readonly after: NonNullable<PodResources>;
};

/**
 * Pod-level resources limit the sum of all containers, so they are enlarged for our containers. Undefined if
 * there is nothing to add.
 */
export function enlarged(before: PodResources, ours: readonly Container[]): EnlargedResources | undefined {
  if (before === undefined) return undefined;
  const after = {
    ...before,
    ...(before.requests && { requests: withOurs(before.requests, ours, requestOf) }),
    // A container of ours without a limit needs at least what it requests.
    ...(before.limits && {
      limits: withOurs(before.limits, ours, (one, name) => limitOf(one, name) ?? requestOf(one, name)),
    }),
  };
  return isPart(after, before) ? undefined : { before, after };
}

/** Whether the resources contain all these amounts. The API server may have added others by its defaults. */
export const isPart = (part: NonNullable<PodResources>, resources: PodResources): boolean =>
  (['requests', 'limits'] as const).every((kind) =>
    Object.entries(part[kind] ?? {}).every(([name, amount]) => resources?.[kind]?.[name] === amount),
  );

type AmountOf = (container: Container, name: string) => bigint | undefined;

// The redirect container has ended when the sidecars start, so the larger of the two counts.
function withOurs(
  amounts: Record<string, string>,
  ours: readonly Container[],
  amountOf: AmountOf,
): Record<string, string> {
  const added = (name: string): bigint => {
    const of = (one: Container): bigint => amountOf(one, name) ?? 0n;
    const isRedirect = (one: Container): boolean => one.name === containerNames.redirect;
    const sidecars = ours.filter((one) => !isRedirect(one)).reduce((sum, one) => sum + of(one), 0n);
    return ours.filter(isRedirect).reduce((most, one) => (of(one) > most ? of(one) : most), sidecars);
  };
  return Object.fromEntries(
    Object.entries(amounts).map(([name, amount]) => {
      const more = added(name);
      const given = parseQuantity(amount);
      return [name, given === undefined || more === 0n ? amount : formatQuantity(given + more)];
    }),
  );
}

const requestOf: AmountOf = ({ resources }, name) => read(resources?.requests?.[name]);
const limitOf: AmountOf = ({ resources }, name) => read(resources?.limits?.[name]);
const read = (text: string | undefined): bigint | undefined =>
  text === undefined ? undefined : parseQuantity(text);
