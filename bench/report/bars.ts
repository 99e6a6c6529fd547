import { median } from '../load/latencies.ts';
import { medianRatio, type Sample, type Series } from '../measure.ts';
import type { Report } from './report.ts';

/** A goal and what was reached; `reached` is undefined where the run lacked a contender. */
export type Bar = {
  readonly what: string;
  readonly goal: number;
  readonly reached: number | undefined;
  readonly unit: '×' | 'MB' | 'ms';
};

export function barsOf(report: Omit<Report, 'bars'>): Bar[] {
  const { closed, paced } = report.contenders;
  const of = (table: readonly Series[], name: string): Series | undefined =>
    table.find(({ contender }) => contender === name);
  const cpu = (over: string, under: string): number | undefined =>
    medianRatio(of(closed, over), of(closed, under), ({ serverUs }) => serverUs);
  const p99 = (over: string, under: string): number | undefined =>
    medianRatio(of(paced, over), of(paced, under), (sample) => sample.p99);
  const whole = (sample: Sample): number | undefined =>
    sample.envoyUs === undefined ? undefined : sample.envoyUs + (sample.serverUs ?? 0);
  const held = report.revocations.held;
  const base = held.find(({ revocations }) => revocations === 1)?.residentMb;
  const more = (revocations: number): number | undefined => {
    const found = held.find((entry) => entry.revocations === revocations);
    return found === undefined || base === undefined ? undefined : found.residentMb - base;
  };
  const heldRatio = medianRatio(
    of(report.revocations.paced, '200000'),
    of(report.revocations.paced, '1'),
    (sample) => sample.p99,
  );
  const loaded = median(
    (of(closed, 'curfew-unix')?.samples ?? []).map((sample) => sample.residentMb ?? Number.NaN),
  );
  return [
    {
      what: 'CPU per check, TCP, against minimal Go over TCP',
      goal: 0.75,
      reached: cpu('curfew-tcp', 'go-tcp'),
      unit: '×',
    },
    {
      what: 'CPU per check, Unix socket, against minimal Go over TCP',
      goal: 0.75,
      reached: cpu('curfew-unix', 'go-tcp'),
      unit: '×',
    },
    {
      what: 'CPU per check, Unix socket, against minimal Go over one',
      goal: 0.75,
      reached: cpu('curfew-unix', 'go-unix'),
      unit: '×',
    },
    {
      what: 'CPU per check, TCP, against grpc-js + proto-loader',
      goal: 0.5,
      reached: cpu('curfew-tcp', 'grpc-js'),
      unit: '×',
    },
    {
      what: 'CPU of Envoy and authorizer against Envoy jwt_authn',
      goal: 1.6,
      reached: medianRatio(of(closed, 'curfew-unix'), of(closed, 'jwt-authn'), whole),
      unit: '×',
    },
    {
      what: 'the same against jwt_authn with RBAC, which does all but revocation',
      goal: 1.6,
      reached: medianRatio(of(closed, 'curfew-unix'), of(closed, 'jwt-authn-rbac'), whole),
      unit: '×',
    },
    {
      what: 'CPU of both without dynamic metadata against jwt_authn',
      goal: 1.6,
      reached: medianRatio(of(closed, 'curfew-no-metadata'), of(closed, 'jwt-authn'), whole),
      unit: '×',
    },
    {
      what: 'CPU of both with the recommended filter against jwt_authn',
      goal: 1.6,
      reached: medianRatio(of(closed, 'curfew-unix-filter'), of(closed, 'jwt-authn'), whole),
      unit: '×',
    },
    {
      what: 'CPU of both against jwt_authn, each in the recommended listener',
      goal: 1.6,
      reached: medianRatio(of(closed, 'curfew-unix-recommended'), of(closed, 'jwt-authn-recommended'), whole),
      unit: '×',
    },
    {
      what: 'p99 at 1000 requests/s, Unix socket, against minimal Go over one',
      goal: 1,
      reached: p99('curfew-unix', 'go-unix'),
      unit: '×',
    },
    {
      what: 'p99 at 1000 requests/s, TCP, against minimal Go over TCP',
      goal: 1,
      reached: p99('curfew-tcp', 'go-tcp'),
      unit: '×',
    },
    { what: 'resident memory, loaded', goal: 100, reached: loaded, unit: 'MB' },
    { what: 'resident memory, idle', goal: 70, reached: median(report.starts.idleMb), unit: 'MB' },
    { what: 'start to ready, bundle', goal: 150, reached: median(report.starts.bundleMs), unit: 'ms' },
    { what: '200,000 revocations held', goal: 30, reached: more(200_000), unit: 'MB' },
    { what: '1,000,000 revocations held', goal: 80, reached: more(1_000_000), unit: 'MB' },
    { what: 'p99 with 200,000 revocations against one', goal: 1.1, reached: heldRatio, unit: '×' },
  ];
}
