import { describe, expect, it } from 'vitest';
import { limitCutOff } from '../../src/revocation-log/cut-off-limit.ts';
import { readImported, writeOutboxEvent, type OutboxEvent } from '../../src/publisher/outbox-event.ts';
import { maxEventLength, readEvent } from '../../src/revocation-log/event.ts';

const iss = 'https://id.example';
const at = 1_700_000_000;

function imported(value: unknown): OutboxEvent {
  const event = readImported(typeof value === 'string' ? value : JSON.stringify(value));
  if (event === undefined) throw new Error('nothing was read');
  return event;
}

const rewritten = (value: unknown, seq = 7): unknown => JSON.parse(writeOutboxEvent(imported(value), seq));

describe('an event of an imported log', () => {
  it('gets a new number', () => {
    const event = { v: 1, seq: 3, iss, kind: 'session', id: 's', at, reason: 'logout' };
    expect(rewritten(event)).toEqual({ ...event, seq: 7 });
    expect(imported(event)).not.toHaveProperty('original');
  });

  it.each([
    ['an unknown kind', { v: 1, seq: 3, iss, kind: 'device', id: 'd', at, more: [1] }],
    ['an impossible id', { v: 1, seq: 3, iss, kind: 'session', id: 'x'.repeat(257), at }],
    ['a later version', { v: 2, seq: 3, iss, what: { ever: true }, at: 'noon' }],
    ['a version that is a text', { v: '2', seq: 3, iss, all: true }],
    ['a later version and no issuer', { v: 3, seq: 3, all: true }],
  ])('keeps all its members but its number with %s', (_, event) => {
    expect(rewritten(event)).toEqual({ ...event, seq: 7 });
  });

  it.each(['', '{', '[]', '{"v":1}', `{"v":2,"x":"${'x'.repeat(maxEventLength)}"}`])(
    'is left out where no reader could make anything of it: %.20s',
    (member) => expect(readImported(member)).toBeUndefined(),
  );

  it('of an unknown kind has its time limited, because readers apply it as a cut-off', () => {
    const event = imported({ v: 1, iss, kind: 'device', id: 'd', at: at + 3600 });
    const written = writeOutboxEvent(limitCutOff(event, at * 1000, 5), 1);
    expect(JSON.parse(written)).toMatchObject({ kind: 'device', at: at + 5 });
  });

  it('that is too long with another number still refuses, or makes its issuer unproven', () => {
    const fill = (event: object): string => {
      const length = JSON.stringify({ ...event, fill: '' }).length;
      return JSON.stringify({ ...event, fill: 'x'.repeat(maxEventLength - length) });
    };
    const unknownKind = imported(fill({ v: 1, seq: 1, iss, kind: 'device', id: 'd', at }));
    const later = imported(fill({ v: 2, seq: 1, iss }));
    const written = [unknownKind, later].map((event) => writeOutboxEvent(event, Number.MAX_SAFE_INTEGER));
    expect(Math.max(...written.map(({ length }) => length))).toBeLessThanOrEqual(maxEventLength);
    expect(written.map((text) => readEvent(JSON.parse(text)))).toEqual([
      { kind: 'event', event: { iss, kind: 'issuer', id: iss, at }, asKnown: true },
      { kind: 'unknown_version', iss },
    ]);
  });
});
