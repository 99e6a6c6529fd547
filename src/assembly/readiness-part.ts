import type { Part } from '../runtime/lifecycle.ts';

export type ReadinessPart = Part & { isReady(): boolean };

/**
 * Starts last and stops first: a program is ready when every other part has started, and no longer from the
 * first moment of its shutdown.
 * @param announce logs what has started
 */
export function createReadinessPart(announce: () => void): ReadinessPart {
  let isReady = false;
  return {
    name: 'readiness',
    isReady: () => isReady,
    start: () => {
      isReady = true;
      announce();
    },
    stop: () => {
      isReady = false;
    },
  };
}
