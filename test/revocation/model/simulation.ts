import { revocationKinds } from '../../../src/revocation-log/event.ts';
import { Database } from './database.ts';
import { Issuer } from './issuer.ts';
import { concernedByLater } from './later-version.ts';
import { Oracles } from './oracles.ts';
import { RedisServer, type MessageFaults } from './redis.ts';
import { emptyState, withoutHead, withoutLog, type RedisState } from './redis-state.ts';
import { Replica } from './replica.ts';
import type { Action, Scenario, InjectedFault } from './scenario.ts';
import { Sidecar } from './sidecar.ts';
import { World } from './world.ts';

const clockToleranceSeconds = 5;
const lifetimeSeconds = 20;
const maxExposureMs = 10_000;
const retentionSeconds = lifetimeSeconds + 2 * clockToleranceSeconds + 5;
/** No fault starts in this last part of a run, at the end of which everything must have recovered; ms. */
const calmMs = 30_000;
const sidecarCount = 2;
/** Time of a lost leader's lease, of a hanging statement, and until a replica tries to take the lease; ms. */
const leaseMs = 5000;

/**
 * `noisy` has many revocations and `quiet` few; one owner covers both. `outside` is covered only by another
 * owner, which must not write this log.
 */
const noisy = 'https://noisy';
const quiet = 'https://quiet';
const outside = 'https://outside';

/** Identity providers, owners, Redis and sidecars, and the faults that are injected into them. */
export class Simulation {
  readonly #scenario: Scenario;
  readonly #world: World;
  readonly #database: Database;
  /** The database of `outside`. */
  readonly #otherDatabase: Database;
  readonly #issuers: readonly Issuer[];
  readonly #oracles: Oracles;
  readonly #messages: MessageFaults = { drop: 0, duplicate: 0, reorder: 0 };
  readonly #replicas: Replica[] = [];
  readonly #sidecars: Sidecar[] = [];
  #master: RedisServer;
  #sidecarsLeadTo: RedisServer | undefined;
  #faultUntil = 0;
  /** By issuer: true time at which the log last held an event of a later version that may concern it. */
  readonly #laterSeenAt = new Map<string, number>();
  #hasLater = false;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#world = new World(scenario.seed);
    this.#master = new RedisServer(this.#world);
    this.#database = new Database(this.#world, 'owner-a', retentionSeconds);
    this.#otherDatabase = new Database(this.#world, 'owner-b', retentionSeconds);
    const shared = {
      world: this.#world,
      database: this.#database,
      lifetimeSeconds,
      nowMs: () => this.#databaseMs(),
      wake: () => this.#wake(),
    };
    this.#issuers = [
      new Issuer({ ...shared, name: noisy }),
      new Issuer({ ...shared, name: quiet }),
      new Issuer({ ...shared, name: outside, database: this.#otherDatabase }),
    ];
    this.#oracles = new Oracles({
      maxExposureMs,
      clockToleranceSeconds,
      lifetimeSeconds,
      maxEntries: scenario.maxEntries,
    });
    for (let index = 0; index < scenario.replicas; index += 1)
      this.#replicas.push(this.#replica(this.#database));
    for (let index = 0; index < sidecarCount; index += 1) this.#sidecars.push(this.#sidecar());
  }

  /** @throws Violation */
  run(): void {
    const { seconds, actions, isBusy } = this.#scenario;
    const last = seconds * 1000;
    const [active, silent, uncovered] = this.#issuers;
    if (active === undefined || silent === undefined || uncovered === undefined) return;
    this.#every(300, 500, () => active.mint());
    this.#every(1500, 2500, () => silent.mint());
    this.#every(1500, 2500, () => uncovered.mint());
    this.#every(3000, 9000, () => uncovered.revoke(this.#kind(), this.#world.random.between(0, 1000)));
    this.#every(5000, 9000, () => active.forge());
    if (isBusy)
      this.#every(800, 4000, () => active.revoke(this.#kind(), this.#world.random.between(0, 1000)));
    this.#every(40, 120, () => this.#request());
    this.#every(200, 300, () => this.#checkViews(active));
    for (const { at, what } of actions)
      this.#world.after(1000 + (at / 1000) * (last - calmMs), () => this.#inject(what));
    this.#world.run(last);
  }

  #every(low: number, high: number, what: () => void): void {
    this.#world.after(this.#world.random.between(low, high), () => {
      what();
      this.#every(low, high, what);
    });
  }

  #request(): void {
    const { random, now } = this.#world;
    const issuer = random.chance(0.75) ? this.#issuers[0] : random.pick(this.#issuers.slice(1));
    const sidecar = random.pick(this.#sidecars);
    const token = issuer && random.pick(issuer.tokens);
    if (issuer === undefined || sidecar === undefined || token === undefined || token.readyAt > now) return;
    const provableSince = this.#provableSince(issuer.name);
    this.#oracles.request(sidecar, issuer, token, { healthySince: this.#faultUntil, provableSince });
    this.#checkProgress(sidecar);
  }

  /** True time since which the log can prove an issuer; Infinity if it can't. */
  #provableSince(issuer: string): number {
    if (issuer === outside) return Infinity;
    if (!this.#hasLater) return 0;
    const concerned = concernedByLater(this.#master.state);
    if (!concerned.has(issuer) && !concerned.has('*')) return this.#laterSeenAt.get(issuer) ?? 0;
    this.#laterSeenAt.set(issuer, this.#world.now);
    return Infinity;
  }

  #checkProgress(sidecar: Sidecar): void {
    const since = [noisy, quiet].map((issuer) => this.#provableSince(issuer));
    // After an event is trimmed, its issuer is proven shortly after.
    const latest = Math.max(this.#faultUntil, ...since.filter((at) => at < Infinity));
    this.#oracles.progress(
      sidecar,
      latest,
      since.some((at) => at < Infinity),
    );
  }

  #checkViews(issuer: Issuer): void {
    for (const sidecar of this.#sidecars) this.#oracles.view(sidecar, issuer);
  }

  #kind(): (typeof revocationKinds)[number] {
    const { random } = this.#world;
    return random.chance(0.6) ? 'session' : (random.pick(revocationKinds) ?? 'session');
  }

  #databaseMs(): number {
    return this.#world.clock().nowMs() + this.#scenario.issuerAheadMs;
  }

  #wake(): void {
    for (const replica of this.#replicas) replica.after(this.#world.latency(), () => replica.wake());
  }

  #replica(database: Database): Replica {
    const { drainSize, seedSize } = this.#scenario;
    const covers = database === this.#database ? [noisy, quiet] : [outside];
    return new Replica({
      database,
      writer: { owner: database.owner, covers, retentionSeconds },
      master: () => this.#master,
      databaseMs: () => this.#databaseMs(),
      clockToleranceSeconds,
      drainSize,
      seedSize,
      pollMs: 500,
    });
  }

  #sidecar(): Sidecar {
    const { maxEntries, pageSize } = this.#scenario;
    return new Sidecar(this.#world, {
      issuers: [noisy, quiet, outside],
      clockToleranceSeconds,
      maxExposureMs,
      maxEntries,
      pageSize,
      faults: this.#messages,
      master: () => this.#sidecarsLeadTo ?? this.#master,
      probed: (sidecar) => this.#issuers.forEach((issuer) => this.#oracles.view(sidecar, issuer)),
      gaveUp: (sidecar) => this.#oracles.gaveUp(sidecar, this.#faultUntil),
    });
  }

  /** Records that a fault lasts this long. */
  #fault(durationMs: number): void {
    this.#faultUntil = Math.max(this.#faultUntil, this.#world.now + durationMs);
  }

  #inject(what: Action['what']): void {
    switch (what.kind) {
      case 'restartRedis':
        return this.#restartRedis(what.downMs, what.state, what.back);
      case 'fallBack':
        return this.#fallBack(what.back, what.disconnects);
      case 'flipFlop': {
        const server = this.#master;
        const { state } = server;
        this.#fallBack(what.back, false);
        this.#fault(what.ms);
        return this.#world.after(what.ms, () => server.replace(state));
      }
      case 'failOver':
        return this.#failOver(what.back, what.oldAnswersMs);
      case 'flush':
      case 'deleteLog':
      case 'deleteHead':
        return this.#lose(what.kind);
      case 'faultDuring':
        return this.#setTrap(what);
      case 'cutSidecar':
      case 'blackholeSidecar':
      case 'restartSidecar':
      case 'freezeSidecar':
        return this.#faultSidecar(what.kind, what.which, what.ms);
      case 'cutReplica':
      case 'blackholeReplica':
      case 'withoutDatabase':
      case 'freezeReplica':
      case 'killReplica':
        return this.#faultReplica(what.kind, what.which, what.ms);
      case 'loseAnswer':
        return this.#loseAnswer();
      case 'late':
        return this.#delay(what.statement, what.isReply, what.ms);
      case 'slowSeed':
        return this.#slowSeeds(what.pageMs, what.ms);
      case 'usurp':
        this.#delay('renew', true, what.ms);
        this.#slowSeeds(what.pageMs, what.ms + 4000);
        for (let index = 0; index < what.count; index += 1)
          this.#world.after(what.ms - 1000 + this.#world.random.between(0, 3000), () =>
            this.#issuers[0]?.revoke(this.#kind(), this.#world.random.between(0, 1000)),
          );
        return;
      case 'toReplica':
        return this.#toReplica(what.lagMs, what.ms);
      case 'messages':
        this.#fault(what.ms);
        Object.assign(this.#messages, { drop: what.drop, duplicate: what.duplicate, reorder: what.reorder });
        this.#world.after(what.ms, () =>
          Object.assign(this.#messages, { drop: 0, duplicate: 0, reorder: 0 }),
        );
        return;
      case 'lag':
        // In both directions, and for requests that are queued behind.
        this.#fault(what.ms + 3 * what.lag);
        this.#world.lag = what.lag;
        this.#world.after(what.ms, () => (this.#world.lag = 0));
        return;
      case 'stepClock': {
        const sidecar = this.#sidecars[what.which % sidecarCount];
        // A step forward makes the last proof look older, until the next proof.
        this.#fault(0);
        if (sidecar !== undefined) sidecar.wallOffset = what.toMs;
        return;
      }
      case 'secondOwner':
        return this.#secondOwner(what.ms);
      case 'flood':
        // This is no fault, but 40 events take some time in pages of one entry.
        this.#fault(1000);
        return this.#issuers[0]?.flood(what.count);
      case 'later':
        this.#hasLater = true;
        return this.#issuers[what.isQuiet ? 1 : 0]?.revoke(what.what, what.commitMs, what.form);
      case 'revoke':
        for (let index = 0; index < what.count; index += 1)
          this.#issuers[0]?.revoke(what.what, what.commitMs);
    }
  }

  #restartRedis(downMs: number, state: string, back: number): void {
    this.#fault(downMs);
    const server = this.#master;
    const after = state === 'same' ? server.state : state === 'empty' ? emptyState : earlier(server, back);
    server.crash();
    this.#world.after(downMs, () => {
      if (this.#master === server) this.#master = new RedisServer(this.#world, after);
    });
  }

  #fallBack(back: number, disconnects: boolean): void {
    this.#fault(0);
    const server = this.#master;
    server.replace(earlier(server, back));
    for (const connection of server.connections) if (!connection.isOpen) connection.forget();
    if (disconnects) server.dropAll();
  }

  /**
   * A lagging replica becomes the master. The old master continues to answer on connections that stay open.
   */
  #failOver(back: number, oldAnswersMs: number): void {
    const old = this.#master;
    if (!old.isUp) return;
    this.#fault(oldAnswersMs);
    this.#master = new RedisServer(this.#world, earlier(old, back));
    this.#world.after(oldAnswersMs, () => old.crash());
    for (const process of [...this.#replicas, ...this.#sidecars])
      if (this.#world.random.chance(0.5)) process.cutConnection();
  }

  #loseAnswer(): void {
    const { random } = this.#world;
    for (const [count, low, high] of [
      [2, 100, 1500],
      [4, 0, 5],
    ] as const)
      for (let index = 0; index < count; index += 1)
        this.#issuers[0]?.revoke('session', random.between(low, high));
    const server = this.#master;
    server.trap = (request) => {
      if (request.kind !== 'append' || request.call.members.length < 2) return;
      server.trap = undefined;
      this.#faultReplica('blackholeReplica', this.#leader(), 0);
    };
    this.#world.after(4000, () => (server.trap = undefined));
  }

  #leader(): number {
    return Math.max(
      0,
      this.#replicas.findIndex(({ isLeading }) => isLeading),
    );
  }

  #delay(statement: string, isReply: boolean, lateMs: number): void {
    const leading = this.#replicas.find(({ isLeading }) => isLeading) ?? this.#replicas[0];
    leading?.delay({ statement, isReply, ms: lateMs, started: () => this.#fault(lateMs + leaseMs) });
  }

  #slowSeeds(pageMs: number, durationMs: number): void {
    // The last slow seed must end.
    this.#fault(durationMs + 8000);
    this.#world.pageMs = pageMs;
    this.#world.after(durationMs, () => (this.#world.pageMs = 0));
  }

  /** New connections of sidecars lead to a lagging replica. */
  #toReplica(lagMs: number, durationMs: number): void {
    const endsAt = this.#world.now + durationMs;
    const replica = new RedisServer(this.#world);
    replica.isMaster = false;
    const follow = (): void => {
      const { state } = this.#master;
      this.#world.after(lagMs, () => (replica.state = state));
      if (this.#world.now < endsAt) this.#world.after(100, follow);
    };
    follow();
    this.#fault(durationMs);
    this.#sidecarsLeadTo = replica;
    for (const sidecar of this.#sidecars) if (this.#world.random.chance(0.5)) sidecar.cutConnection();
    this.#world.after(durationMs, () => {
      if (this.#sidecarsLeadTo === replica) this.#sidecarsLeadTo = undefined;
      replica.crash();
    });
  }

  #lose(kind: 'flush' | 'deleteLog' | 'deleteHead'): void {
    this.#fault(0);
    const server = this.#master;
    const epoch = Number(server.state.head?.get('epoch') ?? 0);
    const after: Record<typeof kind, () => RedisState> = {
      flush: () => emptyState,
      deleteLog: () => withoutLog(server.state, epoch),
      deleteHead: () => withoutHead(server.state),
    };
    server.state = after[kind]();
  }

  #setTrap(what: Extract<Action['what'], { kind: 'faultDuring' }>): void {
    let left = what.skip;
    const server = this.#master;
    server.trap = ({ kind }) => {
      if (kind !== what.during || (left -= 1) >= 0) return;
      server.trap = undefined;
      this.#injectFault(what.fault, what.back, what.freezeMs);
    };
    // A fault during a seed needs a seed.
    if (what.during === 'seed' || what.during === 'switch') this.#lose('deleteHead');
    // The trap must not inject a fault in the last, calm part of the run.
    this.#world.after(4000, () => (server.trap = undefined));
  }

  #injectFault(fault: InjectedFault, back: number, freezeMs: number): void {
    const leader = this.#leader();
    switch (fault) {
      case 'fallBack':
        return this.#fallBack(back, false);
      case 'flush':
      case 'deleteLog':
        return this.#lose(fault);
      case 'cutAll':
        this.#fault(0);
        return this.#master.dropAll();
      case 'freezeLeader':
        return this.#faultReplica('freezeReplica', leader, freezeMs);
      case 'killLeader':
        return this.#faultReplica('killReplica', leader, freezeMs);
    }
  }

  #faultSidecar(
    kind: 'cutSidecar' | 'blackholeSidecar' | 'restartSidecar' | 'freezeSidecar',
    which: number,
    durationMs: number,
  ): void {
    const index = which % sidecarCount;
    const sidecar = this.#sidecars[index];
    if (sidecar === undefined) return;
    this.#fault(durationMs);
    switch (kind) {
      case 'cutSidecar':
        sidecar.cutOffUntil = this.#world.now + durationMs;
        return sidecar.cutConnection();
      case 'blackholeSidecar':
        this.#fault(3000);
        return sidecar.blackhole();
      case 'freezeSidecar':
        return sidecar.freeze(durationMs);
      case 'restartSidecar':
        sidecar.kill();
        sidecar.cutConnection();
        this.#sidecars[index] = this.#sidecar();
    }
  }

  #faultReplica(
    kind: 'cutReplica' | 'blackholeReplica' | 'withoutDatabase' | 'freezeReplica' | 'killReplica',
    which: number,
    durationMs: number,
  ): void {
    const index = which % this.#replicas.length;
    const replica = this.#replicas[index];
    if (replica === undefined) return;
    replica.healthyAt = this.#world.now + durationMs;
    // Another healthy replica takes the lease when it expires.
    const firstHealthyAt = Math.min(...this.#replicas.map(({ healthyAt }) => healthyAt));
    this.#fault(Math.max(0, firstHealthyAt - this.#world.now) + leaseMs);
    switch (kind) {
      case 'cutReplica':
        replica.cutOffUntil = this.#world.now + durationMs;
        return replica.cutConnection();
      case 'blackholeReplica':
        replica.cutOffUntil = this.#world.now + durationMs;
        return replica.blackhole();
      case 'withoutDatabase':
        replica.withoutDatabaseUntil = this.#world.now + durationMs;
        return;
      case 'freezeReplica':
        return replica.freeze(durationMs);
      case 'killReplica':
        replica.kill();
        this.#world.after(durationMs, () => {
          if (this.#replicas[index] === replica) this.#replicas[index] = this.#replica(this.#database);
        });
    }
  }

  /** Another owner uses the same log. If it gets the log, an operator removes its log afterwards. */
  #secondOwner(durationMs: number): void {
    const database = this.#otherDatabase;
    const other = this.#replica(database);
    this.#fault(durationMs);
    this.#world.after(durationMs, () => {
      other.kill();
      this.#removeLogOf(database.owner);
    });
  }

  /** An operator removes the log, and does it again if late calls or a replica bring the log back. */
  #removeLogOf(owner: string): void {
    if (this.#master.state.head?.get('owner') === owner) {
      this.#lose('flush');
      // The refused owner tries again only after 5 s.
      this.#fault(5500);
    }
    this.#world.after(500, () => this.#removeLogOf(owner));
  }
}

const earlier = (server: RedisServer, back: number): RedisState => server.history.at(-back) ?? emptyState;
