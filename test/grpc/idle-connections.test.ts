import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConnectionLimit, type LimitedConnection } from '../../src/grpc/connection-limit.ts';

const maxConnections = 4;
const maxLeaving = 2;

/** As much of a connection as the limit looks at. */
class TestConnection implements LimitedConnection {
  openStreams = 0;
  idleSince: number;
  readonly share = { bytes: 0 };
  state: 'open' | 'draining' | 'destroyed' = 'open';
  readonly #onDestroy: () => void;

  constructor(now: number, onDestroy: (connection: TestConnection) => void) {
    this.idleSince = now;
    this.#onDestroy = () => onDestroy(this);
  }

  get isIdle(): boolean {
    return this.openStreams === 0 && this.share.bytes === 0;
  }

  drain(): void {
    this.state = 'draining';
  }

  destroy(): void {
    this.state = 'destroyed';
    this.#onDestroy();
  }
}

/** Connections that come and go, as an engine reports them. */
class Listener {
  readonly limit: ConnectionLimit<TestConnection>;
  /** Connections whose memory is counted. */
  counted = 0;
  readonly connections: TestConnection[] = [];
  now = 0;

  /** @param mostCounted connections that have room in memory */
  constructor(mostCounted = Infinity) {
    this.limit = new ConnectionLimit<TestConnection>(
      { maxConnections, maxLeaving },
      {
        take: () => {
          if (this.counted >= mostCounted) return false;
          this.counted += 1;
          return true;
        },
        giveBack: () => {
          this.counted -= 1;
        },
      },
    );
  }

  in(state: TestConnection['state']): TestConnection[] {
    return this.connections.filter((connection) => connection.state === state);
  }

  /** @returns undefined for one that is refused */
  open(): TestConnection | undefined {
    if (this.limit.admit() === 'full') return undefined;
    const connection = new TestConnection((this.now += 1), (one) => this.#close(one));
    this.limit.add(connection);
    this.connections.push(connection);
    return connection;
  }

  opened(): TestConnection {
    const connection = this.open();
    if (connection === undefined) throw new Error('refused');
    return connection;
  }

  begin(connection: TestConnection): void {
    connection.openStreams += 1;
  }

  finish(connection: TestConnection): void {
    if (connection.openStreams === 0) return;
    connection.openStreams -= 1;
    if (connection.openStreams === 0) connection.idleSince = this.now += 1;
  }

  leave(connection: TestConnection): void {
    connection.destroy();
  }

  #close(connection: TestConnection): void {
    connection.openStreams = 0;
    this.limit.ended(connection, false);
    if (connection.share.bytes === 0) this.limit.freed(connection);
    this.limit.socketClosed(connection);
  }
}

type Step = { readonly kind: 'open' | 'begin' | 'finish' | 'leave'; readonly which: number };

const steps = fc.array(
  fc.record<Step>({
    kind: fc.constantFrom('open', 'open', 'begin', 'finish', 'leave'),
    which: fc.nat(100),
  }),
  { maxLength: 200 },
);

describe('the places of connections', () => {
  it('go to newcomers from the longest idle connection, and from no other', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const listener = new Listener();
        for (const { kind, which } of all) {
          const alive = [...listener.in('open'), ...listener.in('draining')];
          const one = alive[which % Math.max(alive.length, 1)];
          if (kind === 'open') expectNewcomer(listener);
          else if (one !== undefined) listener[kind](one);
          expect(listener.in('open').length).toBeLessThanOrEqual(maxConnections);
          expect(listener.in('draining').length).toBeLessThanOrEqual(maxLeaving);
          expect(listener.counted).toBe(listener.in('open').length);
        }
      }),
      { numRuns: 500 },
    );
  });

  function expectNewcomer(listener: Listener): void {
    const before = listener.in('open');
    const leavingBefore = listener.in('draining');
    const [longest] = before.filter((one) => one.isIdle).toSorted((a, b) => a.idleSince - b.idleSince);
    const isFull = before.length === maxConnections;
    const idleLeaving = leavingBefore.filter((one) => one.isIdle);
    const mayLeave = leavingBefore.length < maxLeaving || idleLeaving.length > 0;
    const newcomer = listener.open();
    expect(newcomer === undefined).toBe(isFull && (longest === undefined || !mayLeave));
    const gone = before.filter(({ state }) => state !== 'open');
    expect(gone).toEqual(isFull && newcomer !== undefined ? [longest] : []);
    const destroyed = leavingBefore.filter(({ state }) => state === 'destroyed');
    expect(destroyed.filter((one) => !idleLeaving.includes(one))).toEqual([]);
  }

  it('are not taken from a connection for which something is still kept', () => {
    const listener = new Listener();
    for (let count = 0; count < maxConnections; count += 1) listener.opened().share.bytes = 100;
    expect(listener.open()).toBeUndefined();
    expect(listener.in('open')).toHaveLength(maxConnections);
  });

  it('are held by an ended connection until nothing is kept for it, one that was told to close included', () => {
    const listener = new Listener();
    const first = listener.opened();
    const others = Array.from({ length: maxConnections }, () => {
      const other = listener.opened();
      listener.begin(other);
      return other;
    });
    expect(first.state).toBe('draining');
    first.share.bytes = 100;
    listener.leave(first);
    for (const other of others.slice(0, 1)) listener.leave(other);
    expect(listener.open()).toBeUndefined();
    first.share.bytes = 0;
    listener.limit.freed(first);
    expect(listener.open()).toBeDefined();
  });

  it('are taken from the longest idle connection where there is no memory for another one', () => {
    const listener = new Listener(2);
    const [first, second] = [listener.opened(), listener.opened()];
    const third = listener.opened();
    expect([first.state, second.state, third.state]).toEqual(['draining', 'open', 'open']);
    expect(listener.counted).toBe(2);
    for (const busy of [second, third]) listener.begin(busy);
    expect(listener.open()).toBeUndefined();
    expect(listener.counted).toBe(2);
    listener.leave(second);
    expect(listener.open()).toBeDefined();
    expect(listener.counted).toBe(2);
  });
});
