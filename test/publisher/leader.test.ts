import { describe, expect, it } from 'vitest';
import { Leader, type ReseedCause } from '../../src/publisher/leader.ts';
import type { LeaderCommand, LeaderReply, OutboxRow } from '../../src/publisher/leader-options.ts';
import type { LogReply, LogStatus } from '../../src/publisher/log-writes.ts';
import type { Head } from '../../src/revocation-log/head.ts';

const iss = 'https://a.example';
const databaseMs = 1_700_000_000_000;
const row = (id: number, more: Partial<OutboxRow['event']> = {}): OutboxRow => ({
  id,
  isPublished: false,
  event: { iss, kind: 'session', id: `session-${id}`, at: databaseMs / 1000, ...more },
});

const head: Head = {
  owner: 'us',
  covers: [iss],
  truth: 'owner',
  epoch: 3,
  seq: 10,
  beat: 4,
  trimBelow: 1,
  retentionSeconds: 75,
};

/** A leader for which the test plays the database and Redis. */
class Stand {
  now = 0;
  rows: OutboxRow[] = [];
  standing: OutboxRow[] = [];
  holder = 'me';
  epoch = 5;
  found: Head | undefined = head;
  beat = 0;
  refusal: LogStatus | undefined;
  readonly asked: LeaderCommand[] = [];
  readonly published: number[] = [];
  readonly reseeds: ReseedCause[] = [];
  readonly leader: Leader;

  constructor() {
    this.leader = new Leader(
      {
        holder: 'me',
        owner: 'us',
        issuers: [iss],
        retentionSeconds: 75,
        clockToleranceSeconds: 5,
        clock: { monotonicMs: () => this.now },
        random: () => 0.5,
        pollMs: 500,
        drainSize: 3,
        seedSize: 2,
      },
      { reseed: (cause) => this.reseeds.push(cause), published: (ids) => this.published.push(...ids) },
    );
    this.leader.redisReady();
  }

  /** Answers commands until the leader has none, or until one of this kind, which stays in flight. */
  run(until?: LeaderCommand['kind']): LeaderCommand | undefined {
    for (let command = this.leader.next(); command !== undefined; command = this.leader.next()) {
      this.asked.push(command);
      if (command.kind === until) return command;
      this.leader.done(this.reply(command));
    }
    return undefined;
  }

  /** Runs for this long, in steps. */
  pass(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += 250) this.run();
  }

  last<K extends LeaderCommand['kind']>(kind: K): Extract<LeaderCommand, { kind: K }> | undefined {
    return this.asked.findLast(
      (command): command is Extract<LeaderCommand, { kind: K }> => command.kind === kind,
    );
  }

  /** The commands since the last call, without renewals and pruning. */
  kinds(): LeaderCommand['kind'][] {
    return this.asked.splice(0).flatMap(({ kind }) => (kind === 'prune' ? [] : [kind]));
  }

  reply(command: LeaderCommand): LeaderReply {
    const leased = { holder: this.holder, epoch: this.epoch, nowMs: databaseMs };
    switch (command.kind) {
      case 'take':
        return { kind: 'take', taken: this.epoch };
      case 'renew':
        return { kind: 'renew', epoch: this.holder === 'me' ? this.epoch : undefined };
      case 'raise':
        this.epoch = Math.max(command.epoch, command.above) + 1;
        return { kind: 'raise', epoch: this.epoch };
      case 'head':
        return {
          kind: 'head',
          read: this.found === undefined ? { kind: 'absent' } : { kind: 'head', head: this.found },
        };
      case 'import':
        return { kind: 'import', takeover: { owner: command.head.owner, seq: command.head.seq, hold: 'h' } };
      case 'standing':
        return { kind: 'standing', ...leased, rows: this.standing };
      case 'page':
        return {
          kind: 'page',
          ...leased,
          rows: this.rows.filter(({ id }) => id > command.after).slice(0, command.limit),
        };
      case 'drain':
        return {
          kind: 'drain',
          ...leased,
          rows: this.rows.filter(({ isPublished }) => !isPublished).slice(0, command.limit),
        };
      case 'mark':
        this.rows = this.rows.map((one) =>
          command.rows.some(({ id }) => id === one.id) ? { ...one, isPublished: true } : one,
        );
        return { kind: 'mark' };
      case 'append':
        return {
          kind: 'append',
          reply: this.#written(command.epoch, command.seq + command.members.length, command.beat),
        };
      case 'seed':
      case 'switch':
        return { kind: command.kind, reply: this.#written(command.epoch, 0, undefined) };
      case 'expire':
      case 'prune':
        return { kind: command.kind };
    }
  }

  #written(epoch: number, seq: number, beat: number | undefined): LogReply {
    if (beat !== undefined) this.beat = beat + 1;
    const status = this.refusal ?? 'ok';
    this.refusal = undefined;
    return { status, owner: 'us', epoch, seq, beat: this.beat };
  }
}

describe('a leader that begins', () => {
  it('seeds its own epoch completely, then switches, marks and drains', () => {
    const stand = new Stand();
    stand.rows = [row(1), { ...row(2), isPublished: true }, row(3)];
    stand.standing = [row(0, { kind: 'key', id: 'leaked' })];
    stand.run();
    expect(stand.kinds()).toEqual([
      'take',
      'head',
      'standing',
      'seed',
      'page',
      'seed',
      'page',
      'seed',
      'switch',
      'expire',
      'mark',
      'drain',
      'append',
    ]);
    expect(stand.published).toEqual([1, 3]);
    expect(stand.leader.writer).toMatchObject({ seq: 4, beat: 1 });
    expect(stand.reseeds).toEqual(['start']);
  });

  it('starts an epoch above the epoch of the log', () => {
    const stand = new Stand();
    stand.found = { ...head, epoch: 9 };
    stand.run('seed');
    expect(stand.last('raise')).toMatchObject({ epoch: 5, above: 9 });
    expect(stand.last('seed')).toMatchObject({ epoch: 10, isFirst: true });
  });

  it('does not touch the log of another owner, checks again later, and keeps its lease meanwhile', () => {
    const stand = new Stand();
    stand.found = { ...head, owner: 'others' };
    stand.run();
    expect(stand.leader.role).toBe('refused');
    expect(stand.leader.refusedBy).toBe('others');
    stand.pass(4500);
    expect(stand.kinds()).toEqual(['take', 'head', 'renew', 'renew', 'renew', 'renew']);
    stand.found = undefined;
    stand.pass(1500);
    expect(stand.leader.role).toBe('leading');
  });

  it('imports a log that third-party code wrote for its issuers, and takes it over unchanged', () => {
    const stand = new Stand();
    stand.found = { ...head, owner: 'log create', truth: 'redis' };
    stand.run('switch');
    expect(stand.last('switch')).toMatchObject({
      epoch: 6,
      takeover: { owner: 'log create', seq: 10, hold: 'h' },
    });
    expect(stand.reseeds).toEqual(['import']);
  });

  it('does not import a log that covers an issuer it does not own', () => {
    const stand = new Stand();
    stand.found = { ...head, owner: 'log create', truth: 'redis', covers: [iss, 'https://other'] };
    stand.run();
    expect(stand.leader.role).toBe('refused');
  });

  it('waits for the lease while another replica renews it, and takes a lease that is no longer renewed', () => {
    const stand = new Stand();
    const held = { kind: 'take', held: { epoch: 4, renewals: 9 } } as const;
    for (; stand.now < 8500; stand.now += 1000) {
      const command = stand.leader.next();
      expect(command).toEqual({ kind: 'take', stuck: undefined });
      stand.leader.done(held);
    }
    stand.now = 9500;
    expect(stand.leader.next()).toEqual({ kind: 'take', stuck: { epoch: 4, renewals: 9 } });
  });
});

describe('a leader that writes', () => {
  const writing = (): Stand => {
    const stand = new Stand();
    stand.run();
    stand.kinds();
    return stand;
  };

  it('drains at once when woken, and raises the beat with each complete drain', () => {
    const stand = writing();
    stand.rows = [row(1)];
    stand.leader.wake();
    stand.run();
    expect(stand.kinds()).toEqual(['drain', 'append', 'mark']);
    expect(stand.published).toEqual([1]);
    expect(stand.leader.writer?.beat).toBe(2);
  });

  it('raises the beat twice a second when there is nothing to write', () => {
    const stand = writing();
    stand.pass(2000);
    expect(stand.kinds().filter((kind) => kind === 'append')).toHaveLength(3);
  });

  it('does not raise the beat with an incomplete drain', () => {
    const stand = writing();
    stand.rows = [1, 2, 3, 4].map((id) => row(id));
    stand.leader.wake();
    const first = stand.run('append');
    expect(first).toMatchObject({ seq: 0, beat: undefined });
    stand.leader.done(stand.reply(first ?? { kind: 'head' }));
    expect(stand.run('append')).toMatchObject({ seq: 3, beat: 1 });
  });

  it('sends a batch again unchanged after a lost answer, whatever was committed since', () => {
    const stand = writing();
    stand.rows = [row(1), row(3)];
    stand.leader.wake();
    const sent = stand.run('append');
    stand.leader.failed();
    stand.leader.redisLost();
    stand.rows = [row(1), row(2), row(3)];
    stand.leader.wake();
    stand.now += 900;
    expect(stand.run('append')).toBeUndefined();
    stand.leader.redisReady();
    stand.now += 200;
    expect(stand.run('append')).toEqual(sent);
  });

  it('continues with the beat that Redis has, so that a drain before a loss does not count after it', () => {
    const stand = writing();
    stand.now += 600;
    stand.run('append');
    stand.leader.done({ kind: 'append', reply: { status: 'ok', owner: 'us', epoch: 5, seq: 0, beat: 0 } });
    stand.now += 600;
    expect(stand.run('append')).toMatchObject({ beat: 0 });
  });

  it('steps down when a drain shows that another replica holds the lease, and appends none of its rows', () => {
    const stand = writing();
    stand.rows = [row(1)];
    stand.holder = 'someone else';
    stand.leader.wake();
    stand.run();
    expect(stand.kinds()).toEqual(['drain']);
    expect(stand.leader.role).toBe('following');
  });

  it('steps down when the lease has another epoch, even if it is the holder', () => {
    const stand = writing();
    stand.epoch += 1;
    stand.leader.wake();
    stand.run();
    expect(stand.leader.role).toBe('following');
  });

  it('does not renew without Redis, so that a replica with a connection can take over', () => {
    const stand = writing();
    stand.leader.redisLost();
    stand.pass(5000);
    expect(stand.kinds()).toEqual([]);
  });

  it.each(['absent', 'epoch', 'seq', 'sentinel'] as const)(
    'makes a new epoch when the log answers %s, after a pause in which it keeps the lease',
    (status) => {
      const stand = writing();
      stand.refusal = status;
      stand.now += 600;
      stand.run();
      expect(stand.leader.role).toBe('seeding');
      stand.now += 1100;
      stand.run();
      expect(stand.kinds()).toEqual([
        'drain',
        'append',
        'renew',
        'raise',
        'standing',
        'seed',
        'page',
        'switch',
        'expire',
        'drain',
        'append',
      ]);
      expect(stand.leader.epoch).toBe(6);
      expect(stand.reseeds).toEqual(['start', status]);
    },
  );

  it('waits longer before each new epoch, up to 5 s', () => {
    const stand = writing();
    const pauses: number[] = [];
    for (let count = 0; count < 9; count += 1) {
      stand.refusal = 'seq';
      stand.now += 600;
      stand.run();
      const startedMs = stand.now;
      while (stand.leader.role === 'seeding') {
        stand.now += 10;
        stand.run();
      }
      pauses.push(stand.now - startedMs);
    }
    expect(pauses[0]).toBeLessThan(100);
    expect(pauses[8]).toBeGreaterThan(2500);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(5000);
  });

  it('never starts two logs under one epoch, even after another owner held the log', () => {
    const stand = new Stand();
    stand.found = undefined;
    stand.pass(2000);
    expect(stand.last('switch')).toMatchObject({ epoch: 5 });
    stand.found = { ...head, owner: 'others' };
    stand.refusal = 'owner';
    stand.pass(2000);
    expect(stand.leader.role).toBe('refused');
    stand.found = undefined;
    stand.pass(12_000);
    expect(stand.leader.role).toBe('leading');
    expect(stand.last('switch')).toMatchObject({ epoch: 6 });
  });

  it('leaves the log to the owner to which it now belongs', () => {
    const stand = writing();
    stand.refusal = 'owner';
    stand.now += 600;
    stand.run();
    expect(stand.leader.role).toBe('refused');
  });

  it('limits a cut-off from the future to what an issuer’s clock may show', () => {
    const stand = writing();
    const now = databaseMs / 1000;
    stand.rows = [row(1, { at: now + 3600 }), row(2, { at: now + 4 })];
    stand.leader.wake();
    stand.run();
    const members = stand.last('append')?.members.map((member) => JSON.parse(member) as { at: number });
    expect(members?.map(({ at }) => at)).toEqual([now + 5, now + 4]);
  });
});

describe('trimming', () => {
  const minute = 60_000;

  it('removes entries one retention after they were appended, but never the newest', () => {
    const stand = new Stand();
    stand.rows = [row(1), row(2)];
    stand.run();
    stand.pass(minute);
    stand.rows = [row(3)];
    stand.leader.wake();
    stand.run();
    stand.kinds();
    stand.pass(minute / 2);
    const trims = stand.asked.flatMap((one) => (one.kind === 'append' ? [one.trimBelow] : []));
    expect(trims.findLast((below) => below !== undefined)).toBe(3);
    stand.kinds();
    stand.pass(2 * minute);
    const later = stand.asked.flatMap((one) =>
      one.kind === 'append' && one.trimBelow !== undefined ? [one.trimBelow] : [],
    );
    expect(later).toEqual([]);
  });

  it('appends a revoked key again before its entry is trimmed', () => {
    const stand = new Stand();
    stand.standing = [row(0, { kind: 'key', id: 'leaked' })];
    stand.run();
    stand.rows = [row(1)];
    stand.leader.wake();
    stand.run();
    stand.kinds();
    stand.pass(1.5 * minute);
    const repeated = stand.asked.find((one) => one.kind === 'append' && one.members.length > 0);
    expect(repeated).toMatchObject({ trimBelow: 3 });
    expect(repeated).toHaveProperty('members.0', expect.stringContaining('"kind":"key","id":"leaked"'));
    expect(stand.leader.writer?.seq).toBe(3);
  });
});
