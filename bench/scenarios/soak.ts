import { readMemory } from '../accounting.ts';
import { measure } from '../measure.ts';
import type { Mix } from '../load/messages.ts';
import type { Stage } from '../stage.ts';

export type Soak = {
  readonly minutes: number;
  readonly points: readonly { readonly minute: number; readonly residentMb: number; readonly p99: number }[];
  readonly failed: number;
};

const sliceMs = 10_000;

/** Resident memory under 1000 checks/s, a tenth of them with tokens that were evicted. */
export async function soak(stage: Stage, say: (line: string) => void): Promise<Soak | undefined> {
  const { settings, contenders } = stage;
  const contender = contenders.find(({ name }) => name === 'curfew-unix');
  if (contender?.server === undefined) return undefined;
  const { soakMinutes: minutes, ratePerSecond, hotTokens } = settings;
  const mix: Mix = { hot: 'hot-ES256', hotTokens, cold: 'cold-ES256', coldOfTen: 1 };
  const points: { minute: number; residentMb: number; p99: number }[] = [];
  let failed = 0;
  const startedMs = performance.now();
  for (let minute = 0; minute < minutes; minute = (performance.now() - startedMs) / 60_000) {
    const sample = await measure(stage, contender, { mix, via: 'envoy', durationMs: sliceMs, ratePerSecond });
    const { residentMb } = readMemory(contender.server.pid);
    failed += sample.failed;
    points.push({ minute: (performance.now() - startedMs) / 60_000, residentMb, p99: sample.p99 });
    say(
      `soak: minute ${points.at(-1)?.minute.toFixed(1)}, ${residentMb.toFixed(1)} MB, p99 ${sample.p99.toFixed(0)} µs`,
    );
  }
  return { minutes, points, failed };
}
