import type { PublisherStatus } from './publisher-options.ts';

/** The part of a publisher's status that is safe to show on the network: no address and no owner. */
export type PublisherReadiness = {
  readonly role: PublisherStatus['role'];
  /** One of a fixed list of texts. `/status` has the details. */
  readonly problem: string | undefined;
};

export const readinessOf = (status: PublisherStatus): PublisherReadiness => ({
  role: status.role,
  problem: problemOf(status),
});

function problemOf({ role, connected, problem }: PublisherStatus): string | undefined {
  if (role === 'refused') return 'the log is of another owner';
  if (!connected) return 'no connection to Redis';
  return problem === undefined ? undefined : 'publishing fails';
}
