import { keptSlowest, plottedQuantiles, type LoadResult } from './messages.ts';

/** Every latency of a run, without buckets: a run has at most a few hundred thousand. */
export class Latencies {
  #values = new Float64Array(1 << 16);
  #count = 0;

  add(microseconds: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(this.#values.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count] = microseconds;
    this.#count += 1;
  }

  get count(): number {
    return this.#count;
  }

  summary(): Pick<LoadResult, 'p50' | 'p90' | 'p99' | 'p999' | 'max' | 'slowest' | 'curve'> {
    const sorted = this.#values.slice(0, this.#count).sort();
    const at = (quantile: number): number => quantileOf(sorted, quantile);
    return {
      p50: at(0.5),
      p90: at(0.9),
      p99: at(0.99),
      p999: at(0.999),
      max: at(1),
      slowest: Array.from(sorted.slice(-keptSlowest)),
      curve: plottedQuantiles.map(at),
    };
  }
}

/**
 * The nearest-rank quantile of ascending values: the smallest one that at least this share does not exceed.
 */
export function quantileOf(sorted: Float64Array, quantile: number): number {
  const rank = Math.max(1, Math.ceil(quantile * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

/** The middle value; the mean of the two middle ones of an even number. */
export function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  if (sorted.length % 2 === 1) return upper;
  return (upper + (sorted[sorted.length / 2 - 1] ?? Number.NaN)) / 2;
}
