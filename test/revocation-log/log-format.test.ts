import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readEvent, revocationKinds, writeEvent } from '../../src/revocation-log/event.ts';
import { headFields, readHead, writeHead } from '../../src/revocation-log/head.ts';
import { isSentinel, logKeys, writeSentinel } from '../../src/revocation-log/keys.ts';
import { readMessage, writeMessage } from '../../src/revocation-log/message.ts';

const iss = 'https://a.example';
const wire = { v: 1, seq: 7, iss, kind: 'session', id: 'abc', at: 1_732_450_000.123, reason: 'logout' };
const cutOff = {
  kind: 'event',
  event: { iss, kind: 'issuer', id: iss, at: wire.at, reason: 'logout' },
  asKnown: false,
};

describe('an event', () => {
  it('is read as it was written, whatever its values', () => {
    const id = fc.string({ minLength: 1, maxLength: 256 });
    const events = fc.record({
      iss: fc.string({ minLength: 1, maxLength: 2048 }),
      kind: fc.constantFrom(...revocationKinds.filter((kind) => kind !== 'issuer')),
      id,
      at: fc.double({ min: 0, max: 1e11, noNaN: true }),
    });
    fc.assert(
      fc.property(events, fc.nat(), (event, seq) => {
        const read = readEvent(JSON.parse(writeEvent(event, seq)));
        // JSON has no negative zero.
        expect(read).toEqual({ kind: 'event', event: { ...event, at: event.at + 0 }, asKnown: true });
      }),
    );
  });

  it('may have fields that this version does not know, which are ignored', () => {
    expect(readEvent({ ...wire, later: { addition: true } })).toMatchObject({ kind: 'event', asKnown: true });
  });

  it.each([
    ['of an unknown kind', { ...wire, kind: 'device' }],
    ['with an empty id', { ...wire, id: '' }],
    ['with an id of 257 characters', { ...wire, id: 'x'.repeat(257) }],
    ['with an id that is no text', { ...wire, id: 5 }],
    ['without an id', { ...wire, id: undefined }],
  ])('%s cuts off its issuer: rather too much than too little', (_, event) => {
    expect(readEvent(event)).toEqual(cutOff);
  });

  it('of a later format is read only for its issuer', () => {
    expect(readEvent({ ...wire, v: 2 })).toEqual({ kind: 'unknown_version', iss });
    expect(readEvent({ v: 2, issuer: iss })).toEqual({ kind: 'unknown_version', iss: undefined });
  });

  it.each([
    ['no object', 'session'],
    ['a list', [wire]],
    ['no version', { ...wire, v: undefined }],
    ['no issuer', { ...wire, iss: '' }],
    ['no kind', { ...wire, kind: undefined }],
    ['no time', { ...wire, at: undefined }],
    ['a time in milliseconds', { ...wire, at: 1_732_450_000_123 }],
    ['a time before 1970', { ...wire, at: -1 }],
  ])('is malformed with %s', (_, event) => {
    expect(readEvent(event)).toMatchObject({ kind: 'malformed' });
  });

  it('loses a reason that does not match the pattern', () => {
    expect(readEvent({ ...wire, reason: 'Bearer eyJ…' })).toEqual({
      kind: 'event',
      event: { iss, kind: 'session', id: 'abc', at: wire.at },
      asKnown: true,
    });
  });

  it('is read without a fault, whatever it is', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(readEvent(value).kind).toBeTypeOf('string');
      }),
    );
  });
});

describe('a message', () => {
  const members = [
    writeEvent({ iss, kind: 'session', id: 'a', at: 1 }, 8),
    writeEvent({ iss, kind: 'token', id: 'b', at: 2 }, 9),
  ];

  it('is read as it was written', () => {
    expect(readMessage(writeMessage('owner "one"', 3, 9, members))).toEqual({
      kind: 'batch',
      owner: 'owner "one"',
      epoch: 3,
      firstSeq: 8,
      seq: 9,
      events: members.map((member): unknown => JSON.parse(member)),
    });
  });

  it('may have no events and then only has the last sequence number', () => {
    expect(readMessage(writeMessage('one', 3, 9, []))).toMatchObject({ firstSeq: 10, seq: 9, events: [] });
  });

  it.each([
    ['a gap in its numbers', '{"v":1,"owner":"o","epoch":1,"seq":3,"events":[{"seq":1},{"seq":3}]}'],
    [
      'a last number that is not its own',
      '{"v":1,"owner":"o","epoch":1,"seq":4,"events":[{"seq":2},{"seq":3}]}',
    ],
    ['more events than numbers', '{"v":1,"owner":"o","epoch":1,"seq":1,"events":[{"seq":0},{"seq":1}]}'],
    ['a later format', '{"v":2,"owner":"o","epoch":1,"seq":1,"events":[{"seq":1}]}'],
    ['no owner', '{"v":1,"epoch":1,"seq":1,"events":[{"seq":1}]}'],
    ['an epoch that is no number', '{"v":1,"owner":"o","epoch":"1","seq":1,"events":[{"seq":1}]}'],
    ['no JSON', 'revoke everything'],
    ['no object', '[]'],
  ])('is malformed with %s', (_, text) => {
    expect(readMessage(text)).toEqual({ kind: 'malformed' });
  });

  it('of a single event is recognized as a bare event', () => {
    expect(readMessage(JSON.stringify(wire))).toEqual({ kind: 'bare', event: wire });
  });

  it('is read without a fault, whatever its text is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(readMessage(text).kind).toBeTypeOf('string');
      }),
    );
  });
});

describe('the head', () => {
  const head = {
    owner: 'one',
    covers: [iss],
    truth: 'owner',
    epoch: 3,
    seq: 9,
    beat: 12,
    trimBelow: 4,
    retentionSeconds: 75,
  } as const;
  const values = (
    change: Partial<Record<(typeof headFields)[number], string | null>> = {},
  ): (string | null)[] => {
    const written = writeHead(head);
    return headFields.map(
      (field) => change[field] ?? (field in change ? null : (written[written.indexOf(field) + 1] ?? null)),
    );
  };

  it('is read as it was written', () => {
    expect(readHead(values())).toEqual({ kind: 'head', head });
  });

  it('is absent if it has no fields', () => {
    expect(readHead(headFields.map(() => null))).toEqual({ kind: 'absent' });
  });

  it.each([
    ['v', '2'],
    ['owner', ''],
    ['owner', null],
    ['covers', 'https://a.example'],
    ['covers', '[1]'],
    ['truth', 'both'],
    ['epoch', '0'],
    ['epoch', '-1'],
    ['epoch', '1e3'],
    ['seq', '9007199254740993'],
    ['seq', null],
    ['beat', '1.5'],
    ['trimBelow', ''],
    ['retention', '1000000000'],
  ] as const)('is malformed with %s %j', (field, value) => {
    expect(readHead(values({ [field]: value }))).toEqual({ kind: 'malformed', field });
  });
});

describe('names in Redis', () => {
  it('share the log name as their hash tag', () => {
    const keys = logKeys('curfew');
    expect([keys.head, keys.events, keys.log(7)]).toEqual([
      '{curfew}:head',
      '{curfew}:events',
      '{curfew}:log:7',
    ]);
  });

  it('have a sentinel with its epoch and owner; third-party code may omit the owner', () => {
    expect(isSentinel(writeSentinel('one', 3), 'one', 3)).toBe(true);
    expect(isSentinel(writeSentinel('one', 3), 'two', 3)).toBe(false);
    expect(isSentinel(writeSentinel('one', 3), 'one', 4)).toBe(false);
    expect(isSentinel('{"v":1,"epoch":3}', 'one', 3)).toBe(true);
    expect(isSentinel('not a sentinel', 'one', 3)).toBe(false);
  });
});
