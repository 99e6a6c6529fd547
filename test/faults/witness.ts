import { onTestFinished } from 'vitest';
import { maxExposureMs, type Sidecar } from './stand.ts';

/** A session whose revocation was committed at this moment of `performance.now()`, or shortly before. */
export type Revoked = { readonly session: string; readonly committedMs: number };

/** Observes a sidecar during a fault, and records violations. */
export type Witness = {
  /**
   * From now on, the sidecar must know these revocations when its view is complete, and refuse their tokens
   * otherwise.
   */
  expect(revoked: readonly Revoked[]): void;
  /** Largest staleness seen since the last call; ms. */
  worstStalenessMs(): number;
  /** Times from each commit until the sidecar knew the revocation; ms. */
  delaysMs(): number[];
  /** Violations, as sentences. */
  readonly broken: readonly string[];
};

const everyMs = 5;
const checkedAgain = 20;

/**
 * Checks a sidecar every few milliseconds. It must know everything that was committed before its moment of
 * completeness, it must not accept a revoked token for longer than `maxExposure`, and it must never accept a
 * token that it has refused.
 */
export function watch(sidecar: Sidecar): Witness {
  const pending = new Map<string, number>();
  const known: { session: string; delayMs: number }[] = [];
  const broken: string[] = [];
  let worstMs = 0;

  function look(): void {
    const nowMs = performance.now();
    const stalenessMs = sidecar.status().stalenessMs ?? Infinity;
    worstMs = Math.max(worstMs, stalenessMs);
    for (const [session, committedMs] of pending) {
      const sinceMs = nowMs - committedMs;
      const finding = sidecar.evaluate(session, Date.now() - sinceMs - 1000);
      if (finding === 'revoked') {
        pending.delete(session);
        known.push({ session, delayMs: sinceMs });
        continue;
      }
      // Staleness is rounded to milliseconds.
      if (sinceMs > stalenessMs + 2)
        broken.push(`vouches for ${stalenessMs} ms ago, misses what was committed ${sinceMs} ms ago`);
      if (finding === 'clear' && sinceMs > maxExposureMs + 50)
        broken.push(`accepts ${session} ${sinceMs} ms after its revocation`);
    }
    for (let turn = 0; turn < Math.min(checkedAgain, known.length); turn += 1) {
      const { session = '' } = known[Math.floor(Math.random() * known.length)] ?? {};
      if (!sidecar.knows(session)) broken.push(`forgot ${session}`);
    }
  }

  const timer = setInterval(look, everyMs);
  onTestFinished(() => clearInterval(timer));
  return {
    expect: (revoked) => {
      for (const { session, committedMs } of revoked) pending.set(session, committedMs);
    },
    worstStalenessMs: () => {
      look();
      const worst = worstMs;
      worstMs = 0;
      return worst;
    },
    delaysMs: () => known.map(({ delayMs }) => delayMs),
    broken,
  };
}
