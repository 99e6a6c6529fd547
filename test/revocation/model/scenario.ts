import fc from 'fast-check';
import { revocationKinds } from '../../../src/revocation-log/event.ts';

// Without bias: all numbers are equally likely.
const ms = (min: number, max: number) => fc.noBias(fc.integer({ min, max }));
const back = ms(1, 12);
const which = fc.nat(3);
const probability = fc.constantFrom(0, 0.3, 1);

/** Faults that are injected during a request to Redis. */
export const injectedFaults = [
  'fallBack',
  'flush',
  'deleteLog',
  'cutAll',
  'freezeLeader',
  'killLeader',
] as const;
export type InjectedFault = (typeof injectedFaults)[number];

const what = fc.oneof(
  fc.record({
    kind: fc.constant('restartRedis' as const),
    downMs: ms(0, 6000),
    state: fc.constantFrom('same', 'earlier', 'empty'),
    back,
  }),
  fc.record({ kind: fc.constant('fallBack' as const), back, disconnects: fc.boolean() }),
  // Redis falls back to an earlier state and then returns, while connections stay open.
  fc.record({ kind: fc.constant('flipFlop' as const), back, ms: ms(100, 4000) }),
  fc.record({ kind: fc.constant('failOver' as const), back, oldAnswersMs: ms(0, 9000) }),
  fc.record({ kind: fc.constantFrom('flush' as const, 'deleteLog' as const, 'deleteHead' as const) }),
  fc.record({
    kind: fc.constant('faultDuring' as const),
    during: fc.constantFrom('page', 'seed', 'append', 'switch', 'head'),
    skip: fc.nat(3),
    fault: fc.constantFrom(...injectedFaults),
    back: fc.constantFrom(1, 1, 1, 2, 3, 8),
    freezeMs: ms(500, 8000),
  }),
  fc.record({
    kind: fc.constantFrom('cutSidecar' as const, 'blackholeSidecar' as const, 'restartSidecar' as const),
    which,
    ms: ms(0, 9000),
  }),
  fc.record({
    kind: fc.constantFrom('cutReplica' as const, 'blackholeReplica' as const, 'withoutDatabase' as const),
    which,
    ms: ms(0, 15_000),
  }),
  fc.record({
    kind: fc.constantFrom('freezeReplica' as const, 'killReplica' as const, 'freezeSidecar' as const),
    which,
    ms: ms(200, 9000),
  }),
  fc.record({
    kind: fc.constant('late' as const),
    statement: fc.constantFrom('drain', 'drain', 'renew', 'renew', 'page', 'mark', 'take', 'raise'),
    // True if the answer is late, false if the statement itself is late.
    isReply: fc.boolean(),
    ms: ms(2000, 8000),
  }),
  // The answer to an append is lost, and rows with lower ids are committed before the append is sent again.
  fc.record({ kind: fc.constant('loseAnswer' as const) }),
  // A leader gets a late reply to its renewal, while another replica has taken the lease and seeds slowly.
  fc.record({
    kind: fc.constant('usurp' as const),
    ms: ms(3000, 6000),
    pageMs: ms(100, 800),
    count: ms(1, 6),
  }),
  fc.record({ kind: fc.constant('slowSeed' as const), pageMs: ms(100, 800), ms: ms(3000, 9000) }),
  fc.record({ kind: fc.constant('toReplica' as const), lagMs: ms(100, 9000), ms: ms(500, 8000) }),
  fc.record({
    kind: fc.constant('messages' as const),
    drop: probability,
    duplicate: probability,
    reorder: probability,
    ms: ms(500, 8000),
  }),
  fc.record({ kind: fc.constant('lag' as const), lag: fc.constantFrom(300, 1500, 3000), ms: ms(500, 8000) }),
  // Together with an issuer that is 3 s ahead and with the skew of its replicas, this is within the tolerance
  // of 5 s.
  fc.record({ kind: fc.constant('stepClock' as const), which, toMs: ms(-1500, 1500) }),
  fc.record({ kind: fc.constant('secondOwner' as const), ms: ms(1000, 4000) }),
  fc.record({ kind: fc.constant('flood' as const), count: ms(3, 40) }),
  // An owner of a later version writes an event that sidecars of this version can't read.
  fc.record({
    kind: fc.constant('later' as const),
    what: fc.constantFrom(...revocationKinds),
    form: fc.constantFrom('later' as const, 'later' as const, 'later_unnamed' as const),
    isQuiet: fc.boolean(),
    commitMs: ms(0, 1000),
  }),
  fc.record({
    kind: fc.constant('revoke' as const),
    what: fc.constantFrom(...revocationKinds),
    commitMs: ms(0, 1000),
    count: ms(1, 4),
  }),
);

/**
 * The form of an event: as this version writes it, or as a later version might, with and without its issuer.
 */
export type EventForm = 'own' | 'later' | 'later_unnamed';

/** `at` is in thousandths of the time during which faults start. */
export const action = fc.record({ at: fc.noBias(fc.nat(1000)), what });
export type Action = {
  readonly at: number;
  readonly what: typeof what extends fc.Arbitrary<infer T> ? T : never;
};

/** One run of the model, which the scenario determines completely. */
export const scenario = fc.record({
  seed: fc.integer(),
  seconds: fc.constantFrom(50, 50, 50, 160),
  replicas: fc.constantFrom(1, 2, 2),
  maxEntries: fc.constantFrom(8, 1000),
  pageSize: fc.constantFrom(1, 3, 100),
  drainSize: fc.constantFrom(2, 3, 100),
  seedSize: fc.constantFrom(2, 3, 100),
  /** Whether there are revocations all the time, and not only those of the actions. */
  isBusy: fc.boolean(),
  issuerAheadMs: fc.constantFrom(0, 3000),
  actions: fc.array(action, { maxLength: 14 }),
});
export type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;
