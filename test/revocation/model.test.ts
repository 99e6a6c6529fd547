import { describe, expect, it } from 'vitest';
import { runModel } from './model/run.ts';

/** Few enough for every change; `node test/revocation/model/main.ts --runs 200000` is the long way. */
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
});
