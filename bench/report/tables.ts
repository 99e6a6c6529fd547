import { median, quantileOf } from '../load/latencies.ts';
import { medianSample } from '../measure.ts';
import type { Bar, Report } from './report.ts';
import { samplesTable, seriesTable, short, type Table } from './rows.ts';

/** All tables of a report, in their order on the page. */
export function tablesOf(report: Report): Table[] {
  const { contenders, tokens, revocations, storm, flood, settings } = report;
  return [
    barsTable(report),
    seriesTable(`Through Envoy, ${settings.concurrency} connections, as fast as it goes`, contenders.closed),
    seriesTable(`Through Envoy at ${settings.ratePerSecond} requests/s`, contenders.paced),
    seriesTable(`gRPC directly, ${settings.concurrency} streams of one connection`, contenders.direct),
    seriesTable('Algorithms and cache, through Envoy, as fast as it goes', tokens.closed),
    seriesTable(`Algorithms and cache, through Envoy at ${settings.ratePerSecond} requests/s`, tokens.paced),
    heldTable(report),
    seriesTable(`Revocations held, gRPC directly at ${settings.ratePerSecond} requests/s`, revocations.paced),
    seriesTable('Revocations held, gRPC directly, as fast as it goes', revocations.closed),
    samplesTable(
      `A storm of ${short(storm.eventsPerSecond)} revocations/s, ${short(storm.eventUs)} µs of CPU each`,
      [
        ['calm', storm.calm],
        ['storm', storm.storm],
      ],
    ),
    ...(flood === undefined
      ? []
      : [
          samplesTable(
            `A flood of forged tokens: ${short(flood.forged.requests / (flood.forged.elapsedMs / 1000))} requests/s, all denied: ${flood.forged.allowed === 0 ? 'yes' : 'NO'}`,
            [
              ['good tokens, calm', flood.calm],
              ['good tokens, flooded', flood.flooded],
            ],
          ),
        ]),
    startTable(report),
  ];
}

/** If other processes use more cores than this, only the figures for memory are meaningful. */
const quietCores = 0.5;

function barsTable(report: Report): Table {
  const isQuiet = otherCoresOf(report) <= quietCores;
  const judge = ({ reached, goal, unit }: Bar): string => {
    if (reached === undefined) return 'not measured';
    if (!isQuiet && unit !== 'MB') return 'too noisy to say';
    if (goal === undefined) return '';
    return reached <= goal ? 'reached' : 'missed';
  };
  return {
    title: 'Bars',
    head: ['', 'goal', 'median', 'half of the rounds', ''],
    rows: report.bars.map((bar) => {
      const { what, goal, reached, unit, rounds } = bar;
      const found = reached === undefined ? '–' : `${short(reached)} ${unit}`;
      return [what, goal === undefined ? '–' : `≤ ${goal} ${unit}`, found, middleHalf(rounds), judge(bar)];
    }),
  };
}

/** The range of the half of the rounds that is closest to the median: a measure of its precision. */
function middleHalf(rounds: readonly number[]): string {
  if (rounds.length < 4) return '–';
  const sorted = Float64Array.from(rounds).sort();
  return `${short(quantileOf(sorted, 0.25))} to ${short(quantileOf(sorted, 0.75))}`;
}

function otherCoresOf({ contenders }: Report): number {
  const all = [...contenders.closed, ...contenders.paced, ...contenders.direct];
  return median(all.map(({ samples }) => medianSample(samples).otherCores));
}

function heldTable({ revocations }: Report): Table {
  return {
    title: 'Revocations held',
    head: ['', 'start to ready ms', 'RSS MB', 'RSS MB after checks'],
    rows: revocations.held.map(({ revocations: held, readyMs, residentMb, loadedMb }) => [
      held.toLocaleString('en'),
      short(readyMs),
      short(residentMb),
      short(loadedMb),
    ]),
  };
}

function startTable({ starts }: Report): Table {
  return {
    title: 'Start to ready, keys loaded and log read',
    head: ['', 'median ms', 'all ms'],
    rows: (['bundleMs', 'sourceMs'] as const).map((from) => [
      from === 'bundleMs' ? 'bundle, as in the image' : 'bin/curfew, from a checkout',
      short(median(starts[from])),
      starts[from].map((ms) => ms.toFixed(0)).join(' '),
    ]),
  };
}

/** The spread of a contender's rounds, and the load of other processes meanwhile. */
export function noiseOf(report: Report): string {
  const spread = report.contenders.closed
    .filter(({ samples }) => samples[0]?.serverUs !== undefined)
    .map(({ samples }) => {
      const values = samples.map(({ serverUs }) => serverUs ?? Number.NaN);
      return (Math.max(...values) - Math.min(...values)) / median(values);
    });
  const others = otherCoresOf(report);
  return `noise: rounds of one contender differ by ${(median(spread) * 100).toFixed(0)} % in CPU (median); other processes used ${others.toFixed(2)} cores meanwhile`;
}
