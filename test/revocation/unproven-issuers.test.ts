import { describe, expect, it } from 'vitest';
import { Harness, issuer, second, sessionEvent, type ForeignEvent } from './view-harness.ts';

const later = (fields: Record<string, unknown> = {}): ForeignEvent => ({ v: 2, ...fields });
const uncovered = { issuer, cause: 'uncovered' };
const notUnderstood = { issuer, cause: 'not_understood' };

/** A view of two issuers, of which the log covers only the second. */
function withOneUncovered(): Harness {
  const harness = new Harness({ issuers: [issuer, second], random: 0.6 });
  harness.head = { ...harness.head, covers: [second] };
  return harness;
}

/** A live view of two issuers. */
const live = (options: { pageSize?: number; random?: number } = {}): Harness =>
  new Harness({ issuers: [issuer, second], ...options }).live();

describe('an issuer that the log does not cover', () => {
  it('is reported as unproven, and keeps neither the others nor the view from being live', () => {
    const harness = withOneUncovered().live();
    expect(harness.view.unproven()).toEqual([uncovered]);
    expect(harness.staleness(issuer)).toBe(Infinity);
    expect(harness.staleness(second)).toBeLessThan(2500);
    expect([harness.view.state, harness.view.isSynced, harness.view.isLogLive]).toEqual(['live', true, true]);
    expect(harness.view.worstStalenessMs()).toBeLessThan(2500);
  });

  it('does not delay the view for longer than the proof of the others takes', () => {
    const harness = withOneUncovered();
    harness.connect();
    expect([harness.view.state, harness.view.isSynced]).toEqual(['syncing', false]);
    harness.second();
    expect([harness.view.state, harness.view.isSynced]).toEqual(['live', true]);
  });

  it('does not make all views read a new epoch at the same moment', () => {
    const harness = withOneUncovered().live();
    harness.events = [];
    harness.head = { ...harness.head, epoch: 2, seq: 0, beat: 0 };
    expect(harness.second()).toEqual(['probe', 'wait']);
  });

  it('is proven once the log covers it', () => {
    const harness = withOneUncovered().live();
    harness.head = { ...harness.head, covers: [issuer, second] };
    harness.second();
    expect(harness.view.unproven()).toEqual([]);
    expect(harness.staleness(issuer)).toBeLessThan(2500);
  });

  it('loses its proof when the log stops covering it', () => {
    const harness = live();
    harness.head = { ...harness.head, covers: [second] };
    harness.second();
    expect(harness.staleness(issuer)).toBe(Infinity);
    expect(harness.view.state).toBe('live');
  });

  it('stays unproven, and the others become stale, while there is no connection', () => {
    const harness = withOneUncovered().live();
    harness.view.closed();
    expect(harness.view.state).toBe('live');
    harness.now += 32_000;
    expect(harness.view.state).toBe('stale');
    expect(harness.view.unproven()).toEqual([uncovered]);
    expect(harness.view.isLogLive).toBe(false);
  });
});

describe('a log that covers none of the issuers', () => {
  it('keeps a view from being synced, but not its connection from being live', () => {
    const harness = new Harness({ issuers: [issuer] });
    harness.head = { ...harness.head, covers: ['https://other.example'] };
    harness.live();
    expect(harness.view.worstStalenessMs()).toBe(Infinity);
    expect([harness.view.state, harness.view.isSynced, harness.view.isLogLive]).toEqual([
      'syncing',
      false,
      true,
    ]);
    expect(harness.second()).toEqual(['probe']);
  });

  it('has no live connection if its owner does not raise the beat', () => {
    const harness = new Harness({ issuers: [issuer] });
    harness.head = { ...harness.head, covers: ['https://other.example'] };
    harness.live();
    for (let seconds = 0; seconds < 40; seconds += 1) {
      harness.now += 1000;
      harness.answer(harness.view.tick());
    }
    expect(harness.view.isLogLive).toBe(false);
  });
});

it('a view of no issuers has nothing to wait for', () => {
  const { view } = new Harness({ issuers: [] });
  expect([view.state, view.isSynced]).toEqual(['live', true]);
});

describe('an event of a later version', () => {
  it.each([
    ['with a number for its version', { v: 2, iss: issuer }],
    ['with a text for its version', { v: '1.1', iss: issuer }],
    [
      'of a kind and time that mean something else',
      { v: 2, iss: issuer, kind: 'session', id: 'x', at: 'soon' },
    ],
  ])('%s leaves its issuer unproven, and the others live', (_, event) => {
    for (const arrives of ['message', 'log'] as const) {
      const harness = live();
      harness.append(event);
      if (arrives === 'message') harness.view.message(harness.message(1));
      harness.second();
      harness.second();
      expect(harness.view.applied).toBe(1);
      expect(harness.staleness(issuer)).toBe(Infinity);
      expect(harness.staleness(second)).toBe(1000);
      expect(harness.view.unproven()).toEqual([notUnderstood]);
      expect([harness.view.state, harness.view.isLogLive]).toEqual(['live', true]);
    }
  });

  it('is found by a view that starts later, which becomes ready without a proof for its issuer', () => {
    const harness = new Harness({ issuers: [issuer, second] });
    harness.append(later({ iss: issuer }), sessionEvent('a'));
    harness.live();
    expect(harness.view.unproven()).toEqual([notUnderstood]);
    expect([harness.view.state, harness.view.isSynced]).toEqual(['live', true]);
  });

  it.each([[undefined], [7], [['https://a.example', 'https://b.example']], ['']])(
    'that names its issuer as %j may concern any issuer: none is proven, but views stay ready and connected',
    (iss) => {
      const harness = new Harness({ issuers: [issuer, second] });
      harness.append(later({ iss }));
      harness.live();
      expect([harness.staleness(issuer), harness.staleness(second)]).toEqual([Infinity, Infinity]);
      expect([harness.view.state, harness.view.isSynced, harness.view.isLogLive]).toEqual([
        'syncing',
        true,
        true,
      ]);
      expect(harness.second()).toEqual(['probe']);
    },
  );

  it('of an issuer whose tokens are not evaluated here has no effect', () => {
    const harness = live();
    harness.append(later({ iss: 'https://other.example' }));
    harness.view.message(harness.message(1));
    harness.second();
    expect(harness.view.unproven()).toEqual([]);
  });

  it('leaves its issuer unproven until it is trimmed, when every token that it revokes has expired', () => {
    const harness = live();
    harness.append(sessionEvent('a'), later({ iss: issuer }), sessionEvent('b'));
    harness.view.message(harness.message(3));
    harness.events.shift();
    harness.head = { ...harness.head, trimBelow: 2 };
    harness.second();
    expect(harness.staleness(issuer)).toBe(Infinity);
    harness.events.shift();
    harness.head = { ...harness.head, trimBelow: 3 };
    harness.second();
    expect(harness.view.unproven()).toEqual([]);
    expect(harness.staleness(issuer)).toBeLessThanOrEqual(2000);
  });

  it('counts until the last of several is trimmed', () => {
    const harness = live();
    harness.append(later({ iss: issuer }), later({ iss: issuer }));
    // Messages can come twice and in any order.
    harness.view.message(harness.message(2));
    harness.view.message(harness.message(2));
    harness.events.shift();
    harness.head = { ...harness.head, trimBelow: 2 };
    harness.second();
    expect(harness.view.unproven()).toEqual([notUnderstood]);
  });

  it('still counts after another owner had the log for a moment', () => {
    const harness = live({ random: 1 });
    harness.append(later({ iss: issuer }));
    harness.view.message(harness.message(1));
    harness.second();
    const own = harness.head;
    harness.head = { ...own, owner: 'two', seq: 0 };
    harness.second();
    harness.head = { ...own, beat: 100 };
    for (let seconds = 0; seconds < 5; seconds += 1) harness.second();
    expect(harness.staleness(issuer)).toBe(Infinity);
    expect(harness.staleness(second)).toBeLessThanOrEqual(2000);
  });
});

describe('a damaged event', () => {
  it.each([
    ['without a time', { v: 1, iss: issuer, kind: 'session', id: 'x' }, [notUnderstood]],
    ['without a kind', { v: 1, iss: issuer, id: 'x', at: 1 }, [notUnderstood]],
    [
      'without an issuer',
      { v: 1, kind: 'session', id: 'x', at: 1 },
      [notUnderstood, { ...notUnderstood, issuer: second }],
    ],
    [
      'larger than any of this version',
      { v: 1, ...sessionEvent('x'), reason: 'x'.repeat(17_000) },
      [notUnderstood, { ...notUnderstood, issuer: second }],
    ],
  ])('%s is counted, and leaves the issuers that it may concern unproven', (_, event, unproven) => {
    const harness = live();
    harness.append(event);
    harness.second();
    expect(harness.results).toEqual(['malformed']);
    expect(harness.view.unproven()).toEqual(unproven);
  });
});
