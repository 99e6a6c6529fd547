import type { PublisherStatus } from './publisher-options.ts';

/** What of a publisher's status the network may know: no address, and no name of an owner. */
export type PublisherReadiness = {
  readonly role: PublisherStatus['role'];
  /** In words from a closed list; the whole of it is on `/status`. */
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
