import { describe, expect, it } from 'vitest';
import { medianSample, ratiosByRound, type Sample, type Series } from '../../bench/measure.ts';
import { barsOf } from '../../bench/report/bars.ts';
import { pageOf } from '../../bench/report/page.ts';
import type { Report } from '../../bench/report/report.ts';
import { tablesOf } from '../../bench/report/tables.ts';
import { settingsFor } from '../../bench/settings.ts';

const sample = (overrides: Partial<Sample> = {}): Sample => ({
  requests: 1000,
  elapsedMs: 1000,
  allowed: 1000,
  denied: 0,
  failed: 0,
  p50: 100,
  p90: 200,
  p99: 300,
  p999: 400,
  max: 500,
  slowest: [400, 500],
  curve: Array.from({ length: 17 }, (_, index) => 100 + index),
  requestsPerSecond: 1000,
  serverUs: 30,
  envoyUs: 40,
  generatorUs: 10,
  residentMb: 90,
  otherCores: 0.1,
  ...overrides,
});
const series = (contender: string, ...samples: Partial<Sample>[]): Series => ({
  contender,
  title: `<${contender}>`,
  samples: samples.map(sample),
});

function reportWith(otherCores: number): Report {
  const closed = [
    series('jwt-authn', { serverUs: undefined, envoyUs: 50, otherCores }),
    series(
      'go-tcp',
      { serverUs: 40, otherCores },
      { serverUs: 80, otherCores },
      { serverUs: 40, otherCores },
    ),
    series(
      'curfew-tcp',
      { serverUs: 20, otherCores },
      { serverUs: 60, otherCores },
      { serverUs: 28, otherCores },
    ),
    series('curfew-unix', { otherCores }),
  ];
  const report: Omit<Report, 'bars'> = {
    command: 'npm run bench',
    date: '2026-01-01T00:00:00.000Z',
    seconds: 1,
    machine: {
      cpu: 'x',
      cores: 2,
      memoryMb: 1,
      kernel: '6',
      node: 'v24',
      envoy: 'Envoy',
      go: undefined,
    },
    revision: 'abc',
    settings: settingsFor({ short: true, soakMinutes: 0 }),
    contenders: { closed, paced: closed, direct: closed },
    tokens: { closed: [], paced: [], hitRates: {} },
    revocations: {
      held: [
        { revocations: 1, readyMs: 1, residentMb: 80, loadedMb: 90 },
        { revocations: 200_000, readyMs: 1, residentMb: 105, loadedMb: 120 },
      ],
      paced: [],
      closed: [],
    },
    storm: { events: 1, eventsPerSecond: 1, calm: sample(), storm: sample(), eventUs: 1 },
    flood: undefined,
    starts: { bundleMs: [100, 120, 110], sourceMs: [500], idleMb: [65] },
  };
  return { ...report, bars: barsOf(report) };
}

describe('ratios', () => {
  it('are taken within a round', () => {
    const over = series('a', { serverUs: 20 }, { serverUs: 300 }, { serverUs: 30 });
    const under = series('b', { serverUs: 40 }, { serverUs: 400 }, { serverUs: 40 });
    expect(ratiosByRound(over, under, ({ serverUs }) => serverUs)).toEqual([0.5, 0.75, 0.75]);
    expect(ratiosByRound(over, undefined, ({ serverUs }) => serverUs)).toEqual([]);
    expect(ratiosByRound(over, under, () => undefined)).toEqual([]);
  });

  it('are of medians that keep what was not measured apart', () => {
    const middle = medianSample([
      sample({ p99: 1, failed: 2 }),
      sample({ p99: 3 }),
      sample({ p99: 2, failed: 1 }),
    ]);
    expect(middle).toMatchObject({ p99: 2, failed: 3, requests: 3000 });
    expect(medianSample([sample({ serverUs: undefined })]).serverUs).toBeUndefined();
  });

  it('have the slowest thousandth of all requests together', () => {
    const requests = 400;
    const rounds = [
      [10, 20, 900],
      [15, 800],
      [30, 700],
    ].map((slowest) => sample({ requests, slowest }));
    expect(medianSample(rounds).p999).toBe(800);
  });
});

describe('a report', () => {
  const verdicts = (report: Report): (string | undefined)[] =>
    (tablesOf(report)[0]?.rows ?? []).map((row) => row[4]);

  it('says of each goal whether it was reached', () => {
    const { bars } = reportWith(0.1);
    expect(bars[0]).toMatchObject({ goal: 0.75, reached: 0.7 });
    expect(bars.find(({ what }) => what.startsWith('200,000'))?.reached).toBe(25);
    expect(verdicts(reportWith(0.1))).toContain('reached');
    expect(verdicts(reportWith(0.1))).toContain('not measured');
  });

  it('says how far the rounds of a ratio lie apart, and judges nothing without a goal', () => {
    const rounds = [1, 2, 3, 4, 5].map((serverUs) => ({ serverUs, envoyUs: 10, otherCores: 0.1 }));
    const closed = [
      series('curfew-unix', ...rounds),
      series('jwt-authn-rbac', ...rounds.map(() => ({ serverUs: undefined, envoyUs: 10 }))),
    ];
    const bars = barsOf({ ...reportWith(0.1), contenders: { closed, paced: closed, direct: closed } });
    const bar = bars.find(({ what }) => what.includes('RBAC'));
    expect(bar).toMatchObject({ goal: undefined, reached: 1.3, rounds: [1.1, 1.2, 1.3, 1.4, 1.5] });
    const rows = tablesOf({ ...reportWith(0.1), bars })[0]?.rows ?? [];
    expect(rows.find(([what]) => what?.includes('RBAC'))?.slice(1)).toEqual([
      '–',
      '1.30 ×',
      '1.20 to 1.40',
      '',
    ]);
  });

  it('says of times that they mean nothing when others use the machine', () => {
    const noisy = verdicts(reportWith(1.2));
    expect(noisy[0]).toBe('too noisy to say');
    // Memory can be read all the same.
    expect(noisy).toContain('reached');
  });

  it('is one page that asks nothing of anyone, with names escaped', () => {
    const page = pageOf(reportWith(0.1));
    expect(page).toContain('&lt;curfew-tcp&gt;');
    expect(page).not.toMatch(/<script|<link|<img|src=|https?:\/\//);
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
    expect(page.match(/<svg/g)).toHaveLength(3);
  });
});
