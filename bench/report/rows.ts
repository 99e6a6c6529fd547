import { medianSample, type Sample, type Series } from '../measure.ts';

/** A table of texts, for the terminal and for the page. */
export type Table = {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
};

const count = (value: number): string => Math.round(value).toLocaleString('en');

/** Three significant digits, or a dash. */
export function short(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '–';
  if (value >= 1000) return count(value);
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const head = ['', 'requests/s', 'p50 µs', 'p99 µs', 'p99.9 µs', 'CPU µs', 'Envoy µs', 'RSS MB', 'failed'];

/** One line for each series: the medians of its rounds. */
export function seriesTable(title: string, series: readonly Series[]): Table {
  return { title, head, rows: series.map((entry) => [entry.title, ...cells(medianSample(entry.samples))]) };
}

export const samplesTable = (title: string, samples: readonly (readonly [string, Sample])[]): Table => ({
  title,
  head,
  rows: samples.map(([name, sample]) => [name, ...cells(sample)]),
});

function cells(sample: Sample): string[] {
  const { requestsPerSecond, p50, p99, p999, serverUs, envoyUs, residentMb, failed } = sample;
  return [
    count(requestsPerSecond),
    ...[p50, p99, p999, serverUs, envoyUs, residentMb].map(short),
    failed === 0 ? '0' : count(failed),
  ];
}

/** The table as lines of a terminal, columns aligned. */
export function tableText({ title, head, rows }: Table): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  const format = (line: readonly string[]): string =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ');
  return `\n${title}\n${lines.map((line) => `  ${format(line)}`).join('\n')}\n`;
}
