import { median } from '../load/latencies.ts';
import { ratiosByRound, type Sample, type Series } from '../measure.ts';
import type { Bar, Report } from './report.ts';

type Pick = (sample: Sample) => number | undefined;

const serverUs: Pick = (sample) => sample.serverUs;
const p99: Pick = (sample) => sample.p99;
const whole: Pick = ({ envoyUs, serverUs: server }) =>
  envoyUs === undefined ? undefined : envoyUs + (server ?? 0);

export function barsOf(report: Omit<Report, 'bars'>): Bar[] {
  const { revocations, starts, contenders } = report;
  return [
    ...cpuBars(contenders.closed),
    ...tlsBars(contenders.direct),
    ...latencyBars(contenders.paced),
    ...memoryBars(report),
    ofRounds('start to ready, bundle', 150, 'ms', starts.bundleMs),
    ...heldBars(revocations.held),
    ofRounds(
      'p99 with 200,000 revocations against one',
      1.1,
      '×',
      ratiosByRound(named(revocations.paced, '200000'), named(revocations.paced, '1'), p99),
    ),
  ];
}

const named = (table: readonly Series[], name: string): Series | undefined =>
  table.find(({ contender }) => contender === name);

function ofRounds(what: string, goal: number | undefined, unit: Bar['unit'], rounds: readonly number[]): Bar {
  return { what, goal, unit, rounds, reached: rounds.length === 0 ? undefined : median(rounds) };
}

function cpuBars(closed: readonly Series[]): Bar[] {
  const ratio = (what: string, goal: number | undefined, pick: Pick, over: string, under: string): Bar =>
    ofRounds(what, goal, '×', ratiosByRound(named(closed, over), named(closed, under), pick));
  return [
    ratio('CPU per check, TCP, against minimal Go over TCP', 0.75, serverUs, 'curfew-tcp', 'go-tcp'),
    ratio('CPU per check, Unix socket, against minimal Go over TCP', 0.75, serverUs, 'curfew-unix', 'go-tcp'),
    ratio(
      'CPU per check, Unix socket, against minimal Go over one',
      0.75,
      serverUs,
      'curfew-unix',
      'go-unix',
    ),
    ratio('CPU per check, TCP, against grpc-js + proto-loader', 0.5, serverUs, 'curfew-tcp', 'grpc-js'),
    ratio('CPU of Envoy and authorizer against Envoy jwt_authn', 1.6, whole, 'curfew-unix', 'jwt-authn'),
    ratio(
      'the same against jwt_authn with RBAC, which does all but revocation',
      undefined,
      whole,
      'curfew-unix',
      'jwt-authn-rbac',
    ),
    ratio(
      'CPU of both without dynamic metadata against jwt_authn',
      1.6,
      whole,
      'curfew-no-metadata',
      'jwt-authn',
    ),
    ratio(
      'CPU of both with the recommended filter against jwt_authn',
      1.6,
      whole,
      'curfew-unix-filter',
      'jwt-authn',
    ),
    ratio(
      'CPU of both against jwt_authn, each in the recommended listener',
      1.6,
      whole,
      'curfew-unix-recommended',
      'jwt-authn-recommended',
    ),
  ];
}

/** Asked directly: Envoy's own work for TLS is the same with both. */
function tlsBars(direct: readonly Series[]): Bar[] {
  const ratio = (what: string, over: string, under: string): Bar =>
    ofRounds(what, undefined, '×', ratiosByRound(named(direct, over), named(direct, under), serverUs));
  return [
    ratio('CPU per check, mutual TLS, against minimal Go over the same', 'curfew-mtls', 'go-mtls'),
    ratio('CPU per check, mutual TLS, against TCP', 'curfew-mtls', 'curfew-tcp'),
  ];
}

function latencyBars(paced: readonly Series[]): Bar[] {
  const ratio = (what: string, over: string, under: string): Bar =>
    ofRounds(what, 1, '×', ratiosByRound(named(paced, over), named(paced, under), p99));
  return [
    ratio('p99 at 1000 requests/s, Unix socket, against minimal Go over one', 'curfew-unix', 'go-unix'),
    ratio('p99 at 1000 requests/s, TCP, against minimal Go over TCP', 'curfew-tcp', 'go-tcp'),
  ];
}

function memoryBars({ contenders, starts }: Omit<Report, 'bars'>): Bar[] {
  const samples = named(contenders.closed, 'curfew-unix')?.samples ?? [];
  const loaded = samples.flatMap(({ residentMb }) => (residentMb === undefined ? [] : [residentMb]));
  return [
    ofRounds('resident memory, loaded', 100, 'MB', loaded),
    ofRounds('resident memory, idle', 70, 'MB', starts.idleMb),
  ];
}

function heldBars(held: Report['revocations']['held']): Bar[] {
  const base = held.find(({ revocations }) => revocations === 1)?.residentMb;
  const more = (revocations: number, goal: number): Bar => {
    const found = held.find((entry) => entry.revocations === revocations);
    const reached = found === undefined || base === undefined ? undefined : found.residentMb - base;
    return {
      what: `${revocations.toLocaleString('en')} revocations held`,
      goal,
      unit: 'MB',
      reached,
      rounds: [],
    };
  };
  return [more(200_000, 30), more(1_000_000, 80)];
}
