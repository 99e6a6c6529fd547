import { describeError } from '../runtime/log.ts';
import type { LeaderCommand } from './leader-options.ts';
import type { Leader } from './leader.ts';
import type { OutboxLease } from './outbox-lease.ts';
import type { PublisherOptions, PublisherStatus } from './publisher-options.ts';

/** Logs and counts what a publisher does. It has no influence on decisions. */
export class PublisherReport {
  readonly #options: Pick<PublisherOptions, 'log' | 'metrics' | 'logName'>;
  #role: PublisherStatus['role'] = 'starting';
  #epoch: number | undefined;
  #failure: string | undefined;
  #pending: number | undefined;

  constructor(options: Pick<PublisherOptions, 'log' | 'metrics' | 'logName'>) {
    this.#options = options;
  }

  get pending(): number | undefined {
    return this.#pending;
  }

  get failure(): string | undefined {
    return this.#failure;
  }

  /** Call after each command of the leader. */
  role(leader: Leader, owner: string): void {
    const { log, metrics, logName } = this.#options;
    const { role, epoch } = leader;
    if (role === this.#role && epoch === this.#epoch) return;
    metrics.logLeader.set(role === 'leading' ? 1 : 0);
    const fields = { log: logName, owner, ...(epoch === undefined ? {} : { epoch }) };
    if (role === 'leading') log.info('writing the revocation log', fields);
    if (role === 'following' && this.#role !== 'starting')
      log.info('another replica writes the revocation log', fields);
    if (role === 'refused' && this.#role !== 'refused')
      log.error(ownedByOther, { ...fields, found: leader.refusedBy ?? '', code: 'ERR_LOG_OWNED_BY_OTHER' });
    this.#role = role;
    this.#epoch = epoch;
  }

  succeeded(): void {
    this.#failure = undefined;
  }

  failed(command: LeaderCommand, thrown: unknown): void {
    const { message } = describeError(thrown);
    const fields = { event: command.kind, err: thrown };
    const level = message === this.#failure ? 'debug' : 'warn';
    this.#options.log[level]('cannot write the revocation log: will try again', fields);
    this.#failure = message;
  }

  receiving(isReceiving: boolean): void {
    const { log } = this.#options;
    if (isReceiving) log.info('database notifications arrive again');
    // A pooler in transaction mode delivers none.
    else log.warn('database notifications do not arrive: polling the outbox instead');
  }

  async measure(lease: OutboxLease): Promise<void> {
    const { metrics, log } = this.#options;
    try {
      const { count, ageMs } = await lease.pending();
      this.#pending = count;
      metrics.outboxPending.set(count);
      metrics.outboxAge.set(ageMs / 1000);
    } catch (thrown) {
      log.debug('cannot count the outbox', { err: thrown });
    }
  }
}

const ownedByOther =
  'the revocation log belongs to another owner: choose another revocation.log, or stop that owner';

/** For `/status`: the name of the other owner included. */
export const describeOtherOwner = (leader: Leader, logName: string): string =>
  `the revocation log "${logName}" belongs to owner ${leader.refusedBy ?? 'unknown'}: choose another revocation.log, or stop that owner`;
