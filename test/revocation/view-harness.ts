import { writeEvent, type RevocationEvent } from '../../src/revocation-log/event.ts';
import { headFields, writeHead, type Head } from '../../src/revocation-log/head.ts';
import { writeSentinel } from '../../src/revocation-log/keys.ts';
import { writeMessage } from '../../src/revocation-log/message.ts';
import { RevocationList } from '../../src/revocation/revocation-list.ts';
import type { EventResult } from '../../src/revocation/intake.ts';
import type { ResyncCause, ViewCommand } from '../../src/revocation/view-options.ts';
import { View } from '../../src/revocation/view.ts';

export const issuer = 'https://a.example';
export const second = 'https://b.example';
export const wallMs = 1_700_000_000_000;
const master = { isMaster: true, id: 'data-1' };

export const sessionEvent = (id: string): RevocationEvent => ({
  iss: issuer,
  kind: 'session',
  id,
  at: wallMs / 1000,
});

/** An event of another version, or a damaged one. It is written unchanged, with a sequence number. */
export type ForeignEvent = { readonly v: unknown } & Readonly<Record<string, unknown>>;

const write = (event: RevocationEvent | ForeignEvent, seq: number): string =>
  'v' in event ? JSON.stringify({ ...event, seq }) : writeEvent(event, seq);

/** A view for which the test plays Redis. Its clock advances only when the test advances it. */
export class Harness {
  now = 0;
  readonly list: RevocationList;
  readonly view: View;
  readonly results: EventResult[] = [];
  readonly resyncs: ResyncCause[] = [];
  readonly problems: string[] = [];
  head: Head = {
    owner: 'one',
    covers: [issuer, second],
    truth: 'owner',
    epoch: 1,
    seq: 0,
    beat: 0,
    trimBelow: 1,
    retentionSeconds: 75,
  };
  source = master;
  /** The log of the current epoch, oldest entry first. The first entry has the number `head.trimBelow`. */
  events: (RevocationEvent | ForeignEvent)[] = [];
  hasSentinel = true;

  constructor(options: { pageSize?: number; random?: number; issuers?: string[] } = {}) {
    const clock = { monotonicMs: () => this.now, nowMs: () => wallMs + this.now };
    const issuers = (options.issuers ?? [issuer]).map((name) => ({ issuer: name, clockToleranceSeconds: 5 }));
    this.list = new RevocationList({ issuers, maxEntries: 1000 });
    this.view = new View({
      issuers,
      list: this.list,
      maxExposureMs: 30_000,
      clock,
      random: () => options.random ?? 0,
      pageSize: options.pageSize ?? 100,
      report: {
        event: (result) => this.results.push(result),
        resync: (cause) => this.resyncs.push(cause),
        head: (_, problem) => problem !== undefined && this.problems.push(problem),
      },
    });
  }

  /** Appends to the log as the owner does, and raises the beat. */
  append(...events: readonly (RevocationEvent | ForeignEvent)[]): void {
    this.events.push(...events);
    this.head = { ...this.head, seq: this.head.seq + events.length, beat: this.head.beat + 1 };
  }

  /** The message of the latest `count` events. */
  message(count: number): string {
    const first = this.head.seq - count;
    const members = this.events
      .slice(this.events.length - count)
      .map((event, index) => write(event, first + index + 1));
    return writeMessage(this.head.owner, this.head.epoch, this.head.seq, members);
  }

  values(head: Head = this.head): (string | null)[] {
    const written = writeHead(head);
    return headFields.map((field) => written[written.indexOf(field) + 1] ?? null);
  }

  page({ below, above }: { below: number; above: number }, size = 100): string[] {
    const entries = this.events.map((event, index) => {
      const seq = this.head.seq - this.events.length + index + 1;
      return [write(event, seq), seq] as const;
    });
    const all = this.hasSentinel
      ? [[writeSentinel(this.head.owner, this.head.epoch), 0] as const, ...entries]
      : entries;
    return all
      .filter(([, seq]) => seq < below && seq > above)
      .reverse()
      .slice(0, size)
      .flatMap(([member, seq]) => [member, String(seq)]);
  }

  /** Answers commands until the view has none. @returns the commands */
  answer(commands: readonly ViewCommand[], size = 100): ViewCommand['kind'][] {
    const asked: ViewCommand['kind'][] = [];
    let queue = [...commands];
    while (queue.length > 0) {
      const [command, ...rest] = queue;
      queue = rest;
      if (command === undefined) break;
      asked.push(command.kind);
      if (command.kind === 'probe') queue.push(...this.view.head(command.ticket, this.values(), this.source));
      if (command.kind === 'read') queue.push(...this.view.page(command.ticket, this.page(command, size)));
    }
    return asked;
  }

  connect(): ViewCommand['kind'][] {
    return this.answer(this.view.subscribed(this.source));
  }

  /** Advances the clock by a second with two complete drains. */
  second(): ViewCommand['kind'][] {
    this.now += 1000;
    this.head = { ...this.head, beat: this.head.beat + 2 };
    return this.answer(this.view.tick());
  }

  /** Connects the view and makes it live. */
  live(): this {
    this.connect();
    this.second();
    this.second();
    return this;
  }

  staleness(of = issuer): number {
    return this.view.stalenessMs(of, wallMs + this.now, this.now);
  }

  knows(id: string): boolean {
    const ids = { session: id, tokenId: undefined, clientIds: [], keyNames: ['k'] };
    const times = { issuedAt: wallMs / 1000, expiresAt: wallMs / 1000 + 60 };
    return this.list.find({ issuer, subject: 's', ...ids, ...times }) !== undefined;
  }
}
