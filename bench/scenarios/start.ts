import { join } from 'node:path';
import { readMemory } from '../accounting.ts';
import { startAuthorizer } from '../authorizer.ts';
import { pause } from '../programs.ts';
import type { Stage } from '../stage.ts';

export type StartTimes = {
  /** From the start of the process to `/readyz`, with the log read and the keys loaded; ms. */
  readonly bundleMs: readonly number[];
  readonly sourceMs: readonly number[];
  /** `idleMs` after it was ready. */
  readonly idleMb: readonly number[];
};

export const joinStarts = (all: readonly StartTimes[]): StartTimes => ({
  bundleMs: all.flatMap(({ bundleMs }) => bundleMs),
  sourceMs: all.flatMap(({ sourceMs }) => sourceMs),
  idleMb: all.flatMap(({ idleMb }) => idleMb),
});

/** The starts of a round. `idle` is a start of the bundle that then gets no request for a while. */
const eachRound = ['bundle', 'source', 'bundle', 'idle'] as const;

/**
 * Measures the start, as in the image and from a checkout. The very first start only fills the compile cache.
 */
export async function timeStarts(stage: Stage): Promise<StartTimes> {
  const { folder, keyFiles, redisPort, settings } = stage;
  const idle: number[] = [];
  const times: Record<'bundle' | 'source', number[]> = { bundle: [], source: [] };
  for (let round = 0; round < settings.starts; round += 1) {
    for (const from of eachRound) {
      const listen = `unix://${join(folder, 'start.sock')}`;
      const authorizer = await startAuthorizer({
        name: 'start',
        folder,
        listen,
        keyFiles,
        redisPort,
        log: 'bench',
        from: from === 'source' ? 'source' : 'bundle',
      });
      times[from === 'source' ? 'source' : 'bundle'].push(authorizer.readyMs);
      if (from === 'idle') {
        await pause(settings.idleMs);
        idle.push(readMemory(authorizer.pid).residentMb);
      }
      await authorizer.stop();
    }
  }
  return { bundleMs: times.bundle, sourceMs: times.source, idleMb: idle };
}
