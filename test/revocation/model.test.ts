import { describe, expect, it } from 'vitest';
import { runModel } from './model/run.ts';
import { Simulation } from './model/simulation.ts';

/** A short run for every change. `node test/revocation/model/main.ts --runs 200000` is the long one. */
const runs = 2500;
const limitMs = 22_000;

describe('the revocation protocol, run by its real state machines against faults of all kinds', () => {
  it(
    'never accepts a revoked token later than promised, and recovers promptly',
    () => {
      expect(() => runModel({ runs, limitMs })).not.toThrow();
    },
    2 * limitMs,
  );

  it('never writes an epoch twice, even if a second owner takes a log that a restart lost, and loses it again', () => {
    const simulation = new Simulation({
      seed: 739480717,
      seconds: 160,
      replicas: 1,
      maxEntries: 8,
      pageSize: 1,
      drainSize: 2,
      seedSize: 2,
      isBusy: true,
      issuerAheadMs: 0,
      actions: [
        { at: 895, what: { kind: 'restartRedis', downMs: 4132, state: 'empty', back: 1 } },
        { at: 919, what: { kind: 'secondOwner', ms: 1295 } },
      ],
    });
    expect(() => simulation.run()).not.toThrow();
  });
});
