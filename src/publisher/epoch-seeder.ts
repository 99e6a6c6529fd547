import { limitCutOff } from '../revocation-log/cut-off-limit.ts';
import type {
  LeaderCommand,
  LeaderOptions,
  LeaderReply,
  LeasedRows,
  PublishedRow,
} from './leader-options.ts';
import type { WriteRefusal, StandingKey, Takeover } from './log-writes.ts';
import { writeOutboxEvent, type OutboxEvent } from './outbox-event.ts';
import type { EpochState } from './epoch-writer.ts';

const defaultSeedSize = 1000;
/** Rows that one statement marks. */
const markSize = 500;
const maxExpiredEpochs = 1000;

export type EpochSeederOptions = Pick<LeaderOptions, 'clockToleranceSeconds' | 'seedSize'> & {
  readonly epoch: number;
  /** The epoch that the head had when it was last read; 0 without a head. */
  readonly before: number;
  readonly takeover: Takeover | undefined;
};

export type EpochSeederOutcome =
  | { readonly kind: 'more' }
  /** The head points to the new epoch, so readers see these rows. */
  | { readonly kind: 'switched'; readonly ids: readonly number[] }
  | { readonly kind: 'done'; readonly state: EpochState }
  | ({ readonly kind: 'refused' } & WriteRefusal);

const more: EpochSeederOutcome = { kind: 'more' };

/**
 * Rebuilds the log in a new epoch. It copies everything that the log must hold from the database into a new
 * set, and only then points the head to the set. Rows that are committed meanwhile stay unpublished until the
 * first drain.
 */
export class EpochSeeder {
  readonly #options: EpochSeederOptions;
  readonly #size: number;
  readonly #standing = new Map<string, StandingKey>();
  readonly #unmarked: PublishedRow[] = [];
  #step: 'standing' | 'seed' | 'page' | 'switch' | 'expire' | 'mark' = 'standing';
  #isFirst = true;
  #count = 0;
  #unwritten: string[] = [];
  #after = 0;
  #isLastPage = false;

  constructor(options: EpochSeederOptions) {
    this.#options = options;
    this.#size = options.seedSize ?? defaultSeedSize;
  }

  next(): LeaderCommand {
    const { epoch, takeover } = this.#options;
    switch (this.#step) {
      case 'standing':
        return { kind: 'standing' };
      case 'seed':
        return {
          kind: 'seed',
          epoch,
          isFirst: this.#isFirst,
          firstSeq: this.#count - this.#unwritten.length + 1,
          members: this.#unwritten.slice(0, this.#size),
          takeover,
        };
      case 'page':
        return { kind: 'page', after: this.#after, limit: this.#size };
      case 'switch':
        return { kind: 'switch', epoch, count: this.#count, takeover };
      case 'expire':
        return { kind: 'expire', epochs: this.#oldEpochs() };
      case 'mark':
        return { kind: 'mark', epoch, rows: this.#unmarked.slice(0, markSize) };
    }
  }

  /** Takes the reply to `next`; the leader has checked the lease. */
  done(reply: LeaderReply): EpochSeederOutcome {
    switch (reply.kind) {
      case 'standing':
        this.#take(reply, (event, seq) => this.#standing.set(`${event.iss} ${event.id}`, { event, seq }));
        this.#step = 'seed';
        return more;
      case 'page':
        return this.#takePage(reply);
      case 'seed':
        if (reply.reply.status !== 'ok') return { kind: 'refused', ...reply.reply };
        this.#isFirst = false;
        this.#unwritten = this.#unwritten.slice(this.#size);
        if (this.#unwritten.length === 0) this.#step = this.#isLastPage ? 'switch' : 'page';
        return more;
      case 'switch':
        if (reply.reply.status !== 'ok') return { kind: 'refused', ...reply.reply };
        this.#step = 'expire';
        return { kind: 'switched', ids: this.#unmarked.map(({ id }) => id) };
      case 'expire':
        this.#step = 'mark';
        return this.#unmarked.length === 0 ? this.#finished() : more;
      case 'mark':
        this.#unmarked.splice(0, markSize);
        return this.#unmarked.length === 0 ? this.#finished() : more;
      default:
        return more;
    }
  }

  #takePage(page: LeasedRows): EpochSeederOutcome {
    this.#take(page, (event, seq, id, isPublished) => {
      if (!isPublished) this.#unmarked.push({ id, seq });
      if (event.kind === 'key') this.#standing.set(`${event.iss} ${event.id}`, { event, seq });
    });
    this.#after = page.rows.at(-1)?.id ?? this.#after;
    this.#isLastPage = page.rows.length < this.#size;
    this.#step = page.rows.length > 0 ? 'seed' : 'switch';
    return more;
  }

  #take(
    { rows, nowMs }: LeasedRows,
    taken: (event: OutboxEvent, seq: number, id: number, isPublished: boolean) => void,
  ): void {
    for (const { id, event, isPublished } of rows) {
      this.#count += 1;
      const limited = limitCutOff(event, nowMs, this.#options.clockToleranceSeconds);
      this.#unwritten.push(writeOutboxEvent(limited, this.#count));
      taken(limited, this.#count, id, isPublished);
    }
  }

  #oldEpochs(): number[] {
    const { before, epoch } = this.#options;
    // This includes the epochs of attempts that were given up.
    const count = before === 0 ? 0 : Math.min(epoch - before, maxExpiredEpochs);
    return Array.from({ length: count }, (_, index) => epoch - 1 - index);
  }

  #finished(): EpochSeederOutcome {
    const state = { epoch: this.#options.epoch, seq: this.#count, standing: this.#standing };
    return { kind: 'done', state };
  }
}
