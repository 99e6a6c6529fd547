import { Histogram, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { createTimings } from '../../src/runtime/timings.ts';

const options = { name: 'check_seconds', help: 'Time it took.', buckets: [0.001, 0.01, 0.1] };

describe('timings', () => {
  it.each([
    ['nothing', []],
    ['one of each bucket, at its upper bound, and beyond all', [0.0005, 0.001, 0.0011, 0.01, 0.1, 0.2, 3]],
    ['the same again and again', [0.002, 0.002, 0.002]],
  ])("print what prom-client's histogram prints: %s", async (_, seconds) => {
    const ours = new Registry();
    const theirs = new Registry();
    const timings = createTimings(ours, options);
    const histogram = new Histogram({ ...options, registers: [theirs] });
    for (const one of seconds) {
      timings.observe(one);
      histogram.observe(one);
    }
    expect(await ours.metrics()).toBe(await theirs.metrics());
    expect((await timings.get()).values).toEqual(
      (await histogram.get()).values.map(
        ({ exemplar: _exemplar, ...value }: Record<string, unknown>) => value,
      ),
    );
  });
});
