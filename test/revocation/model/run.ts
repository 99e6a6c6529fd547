import fc from 'fast-check';
import { scenario } from './scenario.ts';
import { Simulation } from './simulation.ts';

export type ModelOptions = {
  readonly runs: number;
  readonly seed?: number | undefined;
  /** Stops after this time; ms. */
  readonly limitMs?: number | undefined;
  /** Reports the first violation without shrinking its scenario. */
  readonly isQuick?: boolean;
};

/** Runs the model. @throws the smallest scenario that it finds to break an invariant */
export function runModel({ runs, seed, limitMs, isQuick = false }: ModelOptions): void {
  fc.assert(
    fc.property(scenario, (found) => {
      new Simulation(found).run();
    }),
    {
      numRuns: runs,
      endOnFailure: isQuick,
      ...(seed === undefined ? {} : { seed }),
      ...(limitMs === undefined ? {} : { interruptAfterTimeLimit: limitMs }),
    },
  );
}
