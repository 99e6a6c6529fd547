import type { RevocationEvent } from '../../../src/revocation-log/event.ts';
import type {
  LeasedRows,
  LeaseSeen,
  LeaderReply,
  PublishedRow,
} from '../../../src/publisher/leader-options.ts';
import type { World } from './world.ts';

const leaseMs = 3000;
const seedSpareMs = 60_000;

export type Row = {
  readonly id: number;
  readonly event: RevocationEvent;
  /** True time; Infinity until the transaction commits. */
  committedAt: number;
  publishedSeq: number | undefined;
  publishedAt: number;
};

/** The owner's database: each method is one statement. */
export class Database {
  readonly world: World;
  readonly owner: string;
  readonly rows: Row[] = [];
  readonly #standing = new Map<string, Row>();
  readonly #retentionMs: number;
  #lease = { holder: '', epoch: 0, expiresAt: 0, renewals: 0 };

  constructor(world: World, owner: string, retentionSeconds: number) {
    this.world = world;
    this.owner = owner;
    this.#retentionMs = retentionSeconds * 1000;
  }

  /** Inserts a row, which gets its id now but is invisible until its commit. */
  insert(event: RevocationEvent): Row {
    const row = {
      id: this.rows.length + 1,
      event,
      committedAt: Infinity,
      publishedSeq: undefined,
      publishedAt: -Infinity,
    };
    this.rows.push(row);
    return row;
  }

  commit(row: Row): void {
    row.committedAt = this.world.now;
    if (row.event.kind === 'key') this.#standing.set(`${row.event.iss} ${row.event.id}`, row);
  }

  take(holder: string, stuck: LeaseSeen | undefined): Extract<LeaderReply, { kind: 'take' }> {
    const lease = this.#lease;
    const isStuck = stuck?.epoch === lease.epoch && stuck.renewals === lease.renewals;
    if (lease.expiresAt > this.world.now && !isStuck)
      return { kind: 'take', held: { epoch: lease.epoch, renewals: lease.renewals } };
    this.#extend({ holder, epoch: lease.epoch + 1 });
    return { kind: 'take', taken: this.#lease.epoch };
  }

  renew(holder: string, epoch: number): number | undefined {
    if (this.#lease.holder !== holder || this.#lease.epoch !== epoch) return undefined;
    this.#extend({ holder, epoch });
    return epoch;
  }

  raise(holder: string, epoch: number, above: number): number | undefined {
    if (this.#lease.holder !== holder || this.#lease.epoch !== epoch) return undefined;
    this.#extend({ holder, epoch: Math.max(epoch, above) + 1 });
    return this.#lease.epoch;
  }

  drain(limit: number, nowMs: number): LeasedRows {
    return this.#leased(
      this.rows.filter((row) => this.#isCommitted(row) && row.publishedSeq === undefined).slice(0, limit),
      nowMs,
    );
  }

  page(after: number, limit: number, nowMs: number): LeasedRows {
    const oldest = this.world.now - this.#retentionMs - seedSpareMs;
    const rows = this.rows.filter(
      (row) =>
        row.id > after &&
        this.#isCommitted(row) &&
        (row.publishedSeq === undefined || row.publishedAt > oldest),
    );
    return this.#leased(rows.slice(0, limit), nowMs);
  }

  standing(nowMs: number): LeasedRows {
    return this.#leased([...this.#standing.values()], nowMs);
  }

  mark(rows: readonly PublishedRow[]): void {
    for (const { id, seq } of rows) {
      const row = this.rows[id - 1];
      if (row === undefined || row.publishedSeq !== undefined) continue;
      row.publishedSeq = seq;
      row.publishedAt = this.world.now;
    }
  }

  #isCommitted(row: Row): boolean {
    return row.committedAt <= this.world.now;
  }

  #extend(lease: { holder: string; epoch: number }): void {
    const renewals = this.#lease.renewals + 1;
    this.#lease = { ...lease, expiresAt: this.world.now + leaseMs, renewals };
  }

  #leased(rows: readonly Row[], nowMs: number): LeasedRows {
    return {
      holder: this.#lease.holder,
      epoch: this.#lease.epoch,
      nowMs,
      rows: rows.map(({ id, event, publishedSeq }) => ({
        id,
        event,
        isPublished: publishedSeq !== undefined,
      })),
    };
  }
}
