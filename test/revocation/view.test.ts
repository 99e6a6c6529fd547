import { describe, expect, it } from 'vitest';
import type { ViewCommand } from '../../src/revocation/view-options.ts';
import { writeEvent } from '../../src/revocation-log/event.ts';
import { headFields } from '../../src/revocation-log/head.ts';
import { writeMessage } from '../../src/revocation-log/message.ts';
import { Harness, issuer, second, sessionEvent } from './view-harness.ts';

const ticketOf = (commands: readonly ViewCommand[]): number => {
  const [command] = commands;
  if (command === undefined || !('ticket' in command)) throw new Error('nothing asked for');
  return command.ticket;
};

describe('a view that starts', () => {
  it('reads the whole log and is live once two drains prove it complete', () => {
    const harness = new Harness();
    harness.append(sessionEvent('a'), sessionEvent('b'));
    expect(harness.view.state).toBe('starting');
    expect(harness.connect()).toEqual(['probe', 'read', 'probe', 'wait']);
    expect(harness.knows('a') && harness.knows('b')).toBe(true);
    expect(harness.view.state).toBe('syncing');
    harness.second();
    expect(harness.view.state).toBe('live');
    expect(harness.staleness()).toBe(1000);
  });

  it('reads in pages, newest first', () => {
    const harness = new Harness({ pageSize: 2 });
    harness.append(...['a', 'b', 'c', 'd', 'e'].map(sessionEvent));
    const commands = harness.view.subscribed(harness.source);
    const read = harness.view.head(ticketOf(commands), harness.values(), harness.source);
    expect(read).toMatchObject([{ kind: 'read', epoch: 1, below: Infinity, above: -1 }]);
    const next = harness.view.page(ticketOf(read), harness.page({ below: Infinity, above: -1 }, 2));
    expect(next).toMatchObject([{ kind: 'read', epoch: 1, below: 4, above: -1 }]);
    expect(harness.knows('e')).toBe(true);
    expect(harness.knows('a')).toBe(false);
    harness.answer(next, 2);
    expect(harness.knows('a')).toBe(true);
  });

  it('waits for an absent log, and reports it', () => {
    const harness = new Harness();
    const [probe] = harness.view.subscribed(harness.source);
    const absent = headFields.map(() => null);
    const commands = harness.view.head(ticketOf(probe ? [probe] : []), absent, harness.source);
    expect(commands).toEqual([{ kind: 'wait', ms: 250 }]);
    expect(harness.problems).toEqual(['absent']);
    expect(harness.view.state).toBe('starting');
    expect(harness.staleness()).toBe(Infinity);
  });

  it('does not accept a log without its sentinel', () => {
    const harness = new Harness();
    harness.append(sessionEvent('a'));
    harness.hasSentinel = false;
    harness.connect();
    expect(harness.resyncs).toEqual(['start', 'broken']);
    harness.second();
    expect(harness.staleness()).toBe(Infinity);
    harness.hasSentinel = true;
    harness.live();
    expect(harness.view.state).toBe('live');
  });

  it('disconnects from a replica, which proves nothing', () => {
    const harness = new Harness();
    harness.source = { isMaster: false, id: 'data-1' };
    expect(harness.connect()).toEqual(['probe', 'disconnect']);
    expect(harness.problems).toEqual(['replica']);
  });

  it('has no proof for issuers that the log does not cover, and is live for the others', () => {
    const harness = new Harness({ issuers: [issuer, second] });
    harness.head = { ...harness.head, covers: [second] };
    harness.live();
    expect(harness.staleness(issuer)).toBe(Infinity);
    expect(harness.staleness(second)).toBeLessThan(2500);
    expect(harness.view.state).toBe('live');
  });
});

describe('a live view', () => {
  it('applies messages in order without any request', () => {
    const harness = new Harness().live();
    harness.append(sessionEvent('a'));
    expect(harness.view.message(harness.message(1))).toEqual([]);
    expect(harness.knows('a')).toBe(true);
    expect(harness.view.applied).toBe(1);
    expect(harness.second()).toEqual(['probe']);
  });

  it('probes at once when a message is missing, and applies the next one meanwhile', () => {
    const harness = new Harness().live();
    harness.append(sessionEvent('lost'));
    harness.append(sessionEvent('seen'));
    const commands = harness.view.message(harness.message(1));
    expect(harness.knows('seen')).toBe(true);
    expect(harness.view.applied).toBe(0);
    expect(harness.answer(commands)).toEqual(['probe', 'read', 'probe']);
    expect(harness.knows('lost')).toBe(true);
    expect(harness.view.applied).toBe(2);
  });

  it('finds entries without a message with the next probe', () => {
    const harness = new Harness().live();
    harness.append(sessionEvent('lost'));
    expect(harness.second()).toEqual(['probe', 'read', 'probe']);
    expect(harness.knows('lost')).toBe(true);
    expect(harness.resyncs).toEqual(['start', 'behind']);
  });

  it('gets no newer proof from a probe that finds unread entries', () => {
    const harness = new Harness().live();
    harness.append(sessionEvent('lost'));
    const before = harness.staleness();
    harness.now += 1000;
    harness.head = { ...harness.head, beat: harness.head.beat + 2 };
    const probe = harness.view.tick();
    harness.view.head(ticketOf(probe), harness.values(), harness.source);
    expect(harness.staleness()).toBe(before + 1000);
  });

  it('needs two beats between its probes, because one may belong to a drain that started before', () => {
    const harness = new Harness().live();
    const before = harness.staleness();
    harness.now += 1000;
    harness.head = { ...harness.head, beat: harness.head.beat + 1 };
    harness.answer(harness.view.tick());
    expect(harness.staleness()).toBe(before + 1000);
    harness.now += 1000;
    harness.head = { ...harness.head, beat: harness.head.beat + 1 };
    harness.answer(harness.view.tick());
    expect(harness.staleness()).toBe(before + 1000);
  });

  it('uses no observation from before a reconnection for a proof after it', () => {
    const harness = new Harness().live();
    harness.view.closed();
    harness.now += 1000;
    harness.head = { ...harness.head, beat: harness.head.beat + 5 };
    harness.connect();
    expect(harness.staleness()).toBe(2000);
    harness.second();
    expect(harness.staleness()).toBe(1000);
  });

  it('discards its observations when the data set changes under its connection', () => {
    const harness = new Harness().live();
    harness.source = { isMaster: true, id: 'data-2' };
    harness.second();
    expect(harness.staleness()).toBe(2000);
    harness.second();
    expect(harness.staleness()).toBe(3000);
    harness.second();
    expect(harness.staleness()).toBe(1000);
  });

  it('becomes stale by the faster of its two clocks', () => {
    const harness = new Harness().live();
    harness.now += 30_000;
    expect(harness.view.state).toBe('stale');
    expect(harness.view.stalenessMs(issuer, Infinity, harness.now)).toBe(Infinity);
  });

  it('reads only the tail after a reconnection', () => {
    const harness = new Harness().live();
    harness.append(sessionEvent('a'));
    harness.view.message(harness.message(1));
    harness.view.closed();
    harness.append(sessionEvent('b'));
    harness.now += 1000;
    const commands = harness.view.subscribed(harness.source);
    const read = harness.view.head(ticketOf(commands), harness.values(), harness.source);
    expect(read).toMatchObject([{ kind: 'read', above: 1 }]);
    harness.answer(read);
    expect(harness.knows('b')).toBe(true);
  });

  it('ignores replies to commands of an earlier connection', () => {
    const harness = new Harness();
    const late = ticketOf(harness.view.subscribed(harness.source));
    harness.view.closed();
    harness.view.subscribed(harness.source);
    expect(harness.view.head(late, harness.values(), harness.source)).toEqual([]);
    expect(harness.view.page(late, [])).toEqual([]);
  });

  it('accepts missing older entries if the head shows that they were trimmed', () => {
    const harness = new Harness().live();
    harness.view.closed();
    harness.append(sessionEvent('old'), sessionEvent('new'));
    harness.events.shift();
    harness.head = { ...harness.head, trimBelow: 2 };
    harness.connect();
    expect(harness.knows('new')).toBe(true);
    expect(harness.view.applied).toBe(2);
  });

  it('reads the head again when entries were trimmed during a read', () => {
    const harness = new Harness();
    harness.append(sessionEvent('old'), sessionEvent('new'));
    const commands = harness.view.subscribed(harness.source);
    const read = harness.view.head(ticketOf(commands), harness.values(), harness.source);
    harness.events.shift();
    const doubt = harness.view.page(ticketOf(read), harness.page({ below: Infinity, above: -1 }));
    expect(doubt).toMatchObject([{ kind: 'probe' }]);
    expect(harness.view.applied).toBeUndefined();
    harness.head = { ...harness.head, trimBelow: 2 };
    harness.answer(doubt);
    expect(harness.view.applied).toBe(2);
  });

  it('does not accept a log with a gap', () => {
    const harness = new Harness();
    harness.append(...['a', 'b', 'c'].map(sessionEvent));
    const commands = harness.view.subscribed(harness.source);
    const read = harness.view.head(ticketOf(commands), harness.values(), harness.source);
    const whole = harness.page({ below: Infinity, above: -1 });
    harness.view.page(ticketOf(read), [...whole.slice(0, 2), ...whole.slice(4)]);
    expect(harness.view.applied).toBeUndefined();
    expect(harness.resyncs).toEqual(['start', 'broken']);
  });

  it('steps back when Redis loses applied entries, and reads them again when they come back', () => {
    const harness = new Harness().live();
    harness.append(sessionEvent('a'), sessionEvent('b'));
    harness.view.message(harness.message(2));
    const later = harness.head;
    harness.head = { ...later, seq: 1 };
    harness.now += 1000;
    harness.answer(harness.view.tick());
    expect(harness.view.applied).toBe(1);
    expect(harness.resyncs.at(-1)).toBe('seq_back');
    harness.head = later;
    expect(harness.second()).toEqual(['probe', 'read', 'probe']);
    expect(harness.view.applied).toBe(2);
  });
});

describe('a new epoch', () => {
  const begin = (harness: Harness, epoch: number, owner = 'one'): void => {
    harness.events = [sessionEvent('seeded')];
    harness.head = { ...harness.head, owner, epoch, seq: 1, beat: 0 };
  };

  it('needs its whole snapshot; until then the view keeps its last proof and gets no newer one', () => {
    const harness = new Harness().live();
    begin(harness, 2);
    harness.hasSentinel = false;
    const before = harness.staleness();
    harness.second();
    harness.second();
    expect(harness.staleness()).toBe(before + 2000);
    harness.hasSentinel = true;
    harness.second();
    harness.second();
    expect(harness.knows('seeded')).toBe(true);
    expect(harness.staleness()).toBe(1000);
  });

  it('is read by live views at random times within a second', () => {
    const harness = new Harness({ random: 0.6 }).live();
    begin(harness, 2);
    harness.now += 1000;
    const commands = harness.view.tick();
    const wait = harness.view.head(ticketOf(commands), harness.values(), harness.source);
    expect(wait).toEqual([{ kind: 'wait', ms: 600 }]);
    harness.now += 600;
    expect(harness.answer(harness.view.tick())).toEqual(['probe', 'read', 'probe']);
    expect(harness.knows('seeded')).toBe(true);
  });

  it('is announced by a message, which is applied at once', () => {
    const harness = new Harness().live();
    begin(harness, 2);
    harness.append(sessionEvent('first'));
    const commands = harness.view.message(harness.message(1));
    expect(harness.knows('first')).toBe(true);
    harness.answer(commands);
    expect(harness.knows('seeded')).toBe(true);
  });

  it('that is older than the one read is ignored until the owner starts a new one', () => {
    const harness = new Harness().live();
    begin(harness, 2);
    harness.live();
    const before = harness.staleness();
    begin(harness, 1);
    harness.second();
    harness.second();
    expect(harness.staleness()).toBe(before + 2000);
  });

  it('of another owner discards all proofs, because it belongs to another database', () => {
    const harness = new Harness().live();
    begin(harness, 1, 'two');
    harness.second();
    expect(harness.staleness()).toBe(Infinity);
    harness.second();
    expect(harness.staleness()).toBe(1000);
    expect(harness.knows('seeded')).toBe(true);
  });
});

describe('messages for another view', () => {
  it.each([
    ['of another owner', writeMessage('two', 1, 1, [writeEvent(sessionEvent('x'), 1)]), 'ignored'],
    ['of an older epoch', writeMessage('one', 0, 1, [writeEvent(sessionEvent('x'), 1)]), 'ignored'],
    ['that are nothing', 'hello', 'malformed'],
    ['of one bare event, on the log of an owner', JSON.stringify({ v: 1, ...sessionEvent('x') }), 'ignored'],
  ])('%s change nothing and are counted', (_, text, result) => {
    const harness = new Harness().live();
    harness.results.length = 0;
    expect(harness.view.message(text)).toEqual([]);
    expect(harness.results).toEqual([result]);
    expect(harness.knows('x')).toBe(false);
    expect(harness.view.applied).toBe(0);
  });
});

describe('events that this version does not understand', () => {
  it('of an unknown kind refuse the tokens of their issuer', () => {
    const harness = new Harness().live();
    harness.append({ ...sessionEvent('x'), kind: 'device' as 'session' });
    harness.view.message(harness.message(1));
    expect(harness.results.at(-1)).toBe('unknown');
    expect(harness.knows('any session at all')).toBe(true);
  });

  const unknownVersion = (seq: number, iss: string | undefined): string =>
    writeMessage('one', 1, seq, [JSON.stringify({ v: 2, seq, iss })]);

  it('of a later format leave their issuer unproven until an epoch without such an event', () => {
    const harness = new Harness({ issuers: [issuer, second] }).live();
    harness.view.message(unknownVersion(1, issuer));
    harness.head = { ...harness.head, seq: 1 };
    harness.second();
    harness.second();
    expect(harness.staleness(issuer)).toBe(Infinity);
    expect(harness.staleness(second)).toBeLessThanOrEqual(2000);
    harness.head = { ...harness.head, epoch: 2, seq: 0, beat: 0 };
    harness.events = [];
    harness.second();
    harness.second();
    expect(harness.staleness(issuer)).toBe(1000);
  });

  it('of a later format without an issuer leave all unproven', () => {
    const harness = new Harness({ issuers: [issuer, second] }).live();
    harness.view.message(unknownVersion(1, undefined));
    harness.head = { ...harness.head, seq: 1 };
    harness.second();
    expect([harness.staleness(issuer), harness.staleness(second)]).toEqual([Infinity, Infinity]);
  });

  it('that are damaged are counted, and the events after them are read', () => {
    const harness = new Harness().live();
    harness.append({ ...sessionEvent('x'), at: -1 });
    harness.view.message(harness.message(1));
    expect(harness.results.at(-1)).toBe('malformed');
    expect(harness.view.applied).toBe(1);
  });
});

describe('a log that third-party code writes (truth: redis)', () => {
  const written = (): Harness => {
    const harness = new Harness();
    harness.head = { ...harness.head, truth: 'redis' };
    return harness.live();
  };

  it('is complete as of each probe, without a beat', () => {
    const harness = written();
    harness.now += 1000;
    harness.answer(harness.view.tick());
    expect(harness.staleness()).toBe(0);
  });

  it('may have bare events, which are applied, counted separately, and prove nothing', () => {
    const harness = written();
    expect(harness.view.message(JSON.stringify({ v: 1, ...sessionEvent('bare') }))).toEqual([]);
    expect(harness.knows('bare')).toBe(true);
    expect(harness.results.at(-1)).toBe('unlogged');
    expect(harness.view.applied).toBe(0);
  });
});
