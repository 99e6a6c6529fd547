import { describe, expect, it } from 'vitest';
import { createDeliveryLimits } from '../../src/receivers/delivery-limits.ts';
import { createKnownSources } from '../../src/receivers/known-sources.ts';

const stranger = (network: string) => ({ network, isKnown: false });
/** Waits until all pending callbacks have run. */
const turnOver = () => new Promise((resolve) => setImmediate(resolve));
const nobody = (): void => {
  throw new Error('turned away');
};

describe('slow signatures', () => {
  it('are verified up to the concurrency limit, in the order in which they arrived', async () => {
    const limits = createDeliveryLimits({ concurrency: 2 });
    const turns = Array.from({ length: 4 }, () => Promise.withResolvers<boolean>());
    const begun: number[] = [];
    const outcomes = turns.map(({ promise }, index) =>
      limits.allow(stranger('a'), 1000, nobody).verify(() => {
        begun.push(index);
        return promise;
      }),
    );
    await turnOver();
    expect(begun).toEqual([0, 1]);
    turns[1]?.resolve(false);
    expect(await outcomes[1]).toBe(false);
    await turnOver();
    expect(begun).toEqual([0, 1, 2]);
    for (const { resolve } of turns) resolve(true);
    expect(await Promise.all(outcomes)).toEqual([true, false, true, true]);
  });

  it('drop the oldest delivery of the network that has most, and none of a known source', async () => {
    const limits = createDeliveryLimits({ concurrency: 1, verifying: 8 });
    const first = Promise.withResolvers<boolean>();
    const busy = limits.allow(stranger('flood'), 0, nobody).verify(() => first.promise);
    const sender = limits.allow({ network: 'sender', isKnown: true }, 0, nobody).verify(() => true);
    const shares: number[] = [];
    const flood = Array.from({ length: 10 }, () =>
      limits.allow(stranger('flood'), 0, (share) => void shares.push(share)).verify(() => false),
    );
    first.resolve(true);
    expect(await busy).toBe(true);
    expect(await sender).toBe(true);
    const outcomes = await Promise.all(flood);
    expect(outcomes.slice(0, 3)).toEqual([undefined, undefined, undefined]);
    expect(outcomes.slice(3)).toEqual(Array.from({ length: 7 }, () => false));
    expect(shares).toEqual([1, 1, 1]);
  });

  it('start the next one when one throws', async () => {
    const limits = createDeliveryLimits({ concurrency: 1 });
    const { verify } = limits.allow(stranger('a'), 0, nobody);
    const failing = verify(() => Promise.reject(new Error('no')));
    const next = verify(() => true);
    await expect(failing).rejects.toThrow('no');
    expect(await next).toBe(true);
  });
});

describe('deliveries that wait for newer keys', () => {
  it('are limited, and dropped ones stop waiting', async () => {
    const limits = createDeliveryLimits({ holding: 3 });
    const waits = Array.from({ length: 4 }, () => Promise.withResolvers<string>());
    const ended: number[] = [];
    const held = waits.map(({ promise, resolve }, index) =>
      limits
        .allow(stranger('flood'), 0, () => void ended.push(index))
        .hold((signal) => {
          signal.addEventListener('abort', () => resolve('ended'));
          return promise;
        }),
    );
    expect(await held[0]).toBeUndefined();
    expect(ended).toEqual([0]);
    for (const { resolve } of waits) resolve('keys');
    expect(await Promise.all(held)).toEqual([undefined, 'keys', 'keys', 'keys']);
  });
});

describe('the sources of authentic deliveries', () => {
  it('distinguish an unknown network’s flood from requests that may have been notices', () => {
    const sources = createKnownSources();
    // The receiver has no known source yet.
    expect(sources.mayBeAuthentic('/events', 'flood', 1)).toBe(true);
    sources.add('/events', 'sender');
    expect(sources.mayBeAuthentic('/events', 'flood', 1)).toBe(false);
    expect(sources.mayBeAuthentic('/events', 'sender', 1)).toBe(true);
    // A network with a small share may be the sender with a new address.
    expect(sources.mayBeAuthentic('/events', 'elsewhere', 0.01)).toBe(true);
    // Each receiver has its own known sources.
    expect(sources.mayBeAuthentic('/logout', 'flood', 1)).toBe(true);
    expect(sources.has('/logout', 'sender')).toBe(false);
  });

  it('are the most recent ones, up to a limit for each receiver', () => {
    const sources = createKnownSources();
    for (let network = 0; network < 64; network += 1) sources.add('/events', `${network}`);
    sources.add('/events', '0');
    sources.add('/events', 'new');
    expect(['0', '1', '2', 'new'].map((network) => sources.has('/events', network))).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });
});
