import { createRevocations } from '../../../src/revocation/exposure-rule.ts';
import type { Revocations } from '../../../src/revocation/revocable.ts';
import { RevocationList } from '../../../src/revocation/revocation-list.ts';
import type { ViewCommand } from '../../../src/revocation/view-options.ts';
import { View } from '../../../src/revocation/view.ts';
import { ConnectionPatience } from '../../../src/revocation/connection-patience.ts';
import type { Clock } from '../../../src/runtime/clock.ts';
import { Connection, sourceReply, values, type MessageFaults, type RedisServer } from './redis.ts';
import { Process, type World } from './world.ts';

export type SidecarOptions = {
  readonly issuers: readonly string[];
  readonly clockToleranceSeconds: number;
  readonly maxExposureMs: number;
  readonly maxEntries: number;
  readonly pageSize: number;
  readonly faults: MessageFaults;
  master(): RedisServer | undefined;
  /** A probe was answered, which may have made the view's completeness advance. */
  probed(sidecar: Sidecar): void;
  /** The connection is closed, because the log wasn't proven current over it. */
  gaveUp(sidecar: Sidecar): void;
};

const tickMs = 1000;

/** One authorizer: the real view, list and token rule with a simulated Redis. */
export class Sidecar extends Process {
  readonly view: View;
  readonly list: RevocationList;
  readonly revocations: Revocations;
  readonly clock: Clock;
  readonly bornAt: number;
  /** Issuers whose entries became a floor. */
  readonly flooded = new Set<string>();
  wallOffset = 0;
  cutOffUntil = 0;
  readonly #options: SidecarOptions;
  readonly #patience = new ConnectionPatience();
  #connection: Connection | undefined;
  #connectedAt = 0;

  constructor(world: World, options: SidecarOptions) {
    super(world);
    this.#options = options;
    this.bornAt = world.now;
    this.clock = world.clock(() => this.wallOffset);
    const { maxEntries, maxExposureMs, clockToleranceSeconds, pageSize } = options;
    const issuers = options.issuers.map((issuer) => ({ issuer, clockToleranceSeconds }));
    this.list = new RevocationList({
      issuers,
      maxEntries,
      onOverflow: (flooded) => flooded.forEach((issuer) => this.flooded.add(issuer)),
    });
    this.view = new View({
      issuers,
      list: this.list,
      maxExposureMs,
      clock: this.clock,
      random: () => world.random.next(),
      report: { event: () => undefined, resync: () => undefined, head: () => undefined },
      pageSize,
    });
    this.revocations = createRevocations(this.view, this.clock);
    this.#connect();
    this.#tick();
  }

  cutConnection(): void {
    this.#connection?.drop();
  }

  blackhole(): void {
    if (this.#connection !== undefined) this.#connection.isDead = true;
  }

  #tick(): void {
    this.after(tickMs, () => {
      this.#execute(this.view.tick());
      this.#giveUpInTime();
      this.#tick();
    });
  }

  #giveUpInTime(): void {
    const connectedMs = this.#connection && this.world.now - this.#connectedAt;
    if (!this.#patience.isOver(this.view, connectedMs)) return;
    this.#options.gaveUp(this);
    this.#connection?.close();
  }

  #connect(): void {
    const master = this.#options.master();
    if (this.world.now < this.cutOffUntil || master?.isUp !== true) return this.#later();
    this.after(2 * this.world.latency(), () => {
      if (!master.isUp || this.world.now < this.cutOffUntil) return this.#later();
      const connection = new Connection(master, this, this.#options.faults, () => {
        this.#connection = undefined;
        this.view.closed();
        this.#later();
      });
      this.#connection = connection;
      this.#connectedAt = this.world.now;
      connection.onMessage = (text) => this.#execute(this.view.message(text));
      connection.request({ kind: 'source' }, (source) =>
        connection.request({ kind: 'subscribe' }, () =>
          this.#execute(this.view.subscribed(sourceReply(source))),
        ),
      );
    });
  }

  #later(): void {
    this.after(this.world.random.between(50, 1000), () => this.#connect());
  }

  #execute(commands: readonly ViewCommand[]): void {
    for (const command of commands) {
      if (command.kind === 'wait') this.after(command.ms, () => this.#execute(this.view.tick()));
      else if (command.kind === 'disconnect') this.#connection?.close();
      else this.#ask(command);
    }
  }

  #ask(command: Exclude<ViewCommand, { kind: 'wait' | 'disconnect' }>): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    const { ticket } = command;
    if (command.kind === 'probe') return this.#probe(connection, ticket);
    connection.request({ kind: 'page', page: command, size: this.#options.pageSize }, (reply) =>
      this.#execute(this.view.page(ticket, values(reply))),
    );
  }

  /** Sends two commands together. Anything can happen between their executions. */
  #probe(connection: Connection, ticket: number): void {
    let head: readonly unknown[] = [];
    connection.request({ kind: 'head' }, (reply) => {
      head = values(reply);
    });
    connection.request({ kind: 'source' }, (reply) => {
      const commands = this.view.head(ticket, head, sourceReply(reply));
      this.#options.probed(this);
      this.#execute(commands);
    });
  }
}
