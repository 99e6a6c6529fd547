import type { RedisSource } from '../../../src/revocation/completeness.ts';
import type { PageRequest } from '../../../src/revocation-log/log-reading.ts';
import type { Append, LogReply, Seed, Switch } from '../../../src/publisher/log-writes.ts';
import { asWritten } from './later-version.ts';
import { append, emptyState, headValues, page, seed, switchTo, withoutLog } from './redis-state.ts';
import type { RedisState, Writer, Written } from './redis-state.ts';
import type { Process, World } from './world.ts';

export type RedisRequest =
  | { readonly kind: 'subscribe' }
  | { readonly kind: 'head' }
  | { readonly kind: 'source' }
  | { readonly kind: 'page'; readonly page: PageRequest; readonly size: number }
  | { readonly kind: 'append'; readonly writer: Writer; readonly call: Append }
  | { readonly kind: 'seed'; readonly writer: Writer; readonly call: Seed }
  | { readonly kind: 'switch'; readonly writer: Writer; readonly call: Switch }
  | { readonly kind: 'expire'; readonly epochs: readonly number[] };

export type RedisReply = readonly unknown[] | LogReply | RedisSource | undefined;

/** The reply to `head` and `page`. */
export const values = (reply: RedisReply): readonly unknown[] => (Array.isArray(reply) ? reply : []);

/** The reply to a script. */
export function logReply(reply: RedisReply): LogReply {
  if (reply !== undefined && 'status' in reply) return reply;
  throw new Error('not a script');
}

export function sourceReply(reply: RedisReply): RedisSource {
  if (reply !== undefined && 'isMaster' in reply) return reply;
  throw new Error('not a source');
}

const keptStates = 400;
const oldEpochMs = 60_000;
/** A client closes a connection if an answer takes longer than this; ms. */
const timeoutMs = 2000;

let dataSets = 0;
const newDataSet = (): string => `data-${(dataSets += 1)}`;

/** One Redis process. */
export class RedisServer {
  readonly world: World;
  readonly connections = new Set<Connection>();
  readonly subscribers = new Set<Connection>();
  readonly history: RedisState[] = [];
  isUp = true;
  isMaster = true;
  /** Called after each request, to inject a fault. */
  trap: ((request: RedisRequest) => void) | undefined;
  #state: RedisState;
  #dataSet = newDataSet();

  constructor(world: World, state: RedisState = emptyState) {
    this.world = world;
    this.#state = state;
  }

  get state(): RedisState {
    return this.#state;
  }

  set state(state: RedisState) {
    if (state === this.#state) return;
    this.history.push(this.#state);
    if (this.history.length > keptStates) this.history.shift();
    this.#state = state;
  }

  execute(request: RedisRequest, from: Connection): RedisReply {
    switch (request.kind) {
      case 'subscribe':
        this.subscribers.add(from);
        return undefined;
      case 'head':
        return headValues(this.#state);
      case 'source':
        return { isMaster: this.isMaster, id: this.#dataSet };
      case 'page':
        return page(this.#state, request.page, request.size);
      case 'append':
        return this.#write(append(this.#state, request.writer, asWritten(request.call)));
      case 'seed':
        return this.#write(seed(this.#state, request.writer, asWritten(request.call)));
      case 'switch':
        return this.#write(switchTo(this.#state, request.writer, request.call));
      case 'expire':
        for (const epoch of request.epochs) this.#expire(epoch);
        return undefined;
    }
  }

  /** Replaces the data by those of another server, and keeps all connections. */
  replace(state: RedisState): void {
    this.state = state;
    this.#dataSet = newDataSet();
  }

  /** Ends the process and all its connections. */
  crash(): void {
    this.isUp = false;
    this.dropAll();
  }

  dropAll(): void {
    for (const connection of this.connections) connection.drop();
  }

  /** The key expires, unless it was replaced meanwhile: a new key has no time to live. */
  #expire(epoch: number): void {
    const sentinel = this.#state.logs.get(epoch)?.[0];
    if (sentinel === undefined) return;
    this.world.after(oldEpochMs, () => {
      if (this.#state.logs.get(epoch)?.[0] === sentinel) this.state = withoutLog(this.#state, epoch);
    });
  }

  #write({ state, reply, message }: Written): LogReply {
    this.state = state;
    if (message !== undefined) for (const subscriber of this.subscribers) subscriber.push(message);
    return reply;
  }
}

/** Probabilities of faults of messages. */
export type MessageFaults = { drop: number; duplicate: number; reorder: number };

/** A TCP connection of a process to a Redis, which keeps the order of data. */
export class Connection {
  readonly server: RedisServer;
  readonly faults: MessageFaults;
  readonly #process: Process;
  readonly #onClose: () => void;
  onMessage: (text: string) => void = () => undefined;
  /** Called when the connection has ended, after the callback of its owner. */
  onClosedToo: () => void = () => undefined;
  /** True while the network silently drops all packets. */
  isDead = false;
  #isOpen = true;
  #isKnownToServer = true;
  #inAt = 0;
  #outAt = 0;

  constructor(server: RedisServer, process: Process, faults: MessageFaults, onClose: () => void) {
    this.server = server;
    this.faults = faults;
    this.#process = process;
    this.#onClose = onClose;
    server.connections.add(this);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  request(request: RedisRequest, answer: (reply: RedisReply) => void): void {
    const { world } = this.server;
    let isAnswered = false;
    this.#inAt = Math.max(this.#inAt, world.now + world.latency());
    world.after(this.#inAt - world.now, () => {
      // A call that has reached the server is executed even if its client has closed the connection.
      if (this.isDead || !this.server.isUp || !this.#isKnownToServer) return;
      const reply = this.server.execute(request, this);
      this.server.trap?.(request);
      this.#toClient(() => {
        isAnswered = true;
        answer(reply);
      });
    });
    this.#process.after(timeoutMs, () => {
      if (!isAnswered) this.close();
    });
  }

  /** Sends a message to the subscriber. */
  push(text: string): void {
    const { random } = this.server.world;
    if (random.chance(this.faults.drop)) return;
    const deliver = (): void => this.onMessage(text);
    if (random.chance(this.faults.reorder)) {
      const late = random.between(1, 600);
      return this.server.world.after(late, () => this.#toClient(deliver));
    }
    this.#toClient(deliver);
    if (random.chance(this.faults.duplicate)) this.#toClient(deliver);
  }

  /** The client closes the connection. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.server.subscribers.delete(this);
    this.server.connections.delete(this);
    this.#onClose();
    this.onClosedToo();
  }

  /** The server or the network closes the connection, and the client notices it. */
  drop(): void {
    const { world } = this.server;
    this.#isKnownToServer = false;
    this.server.subscribers.delete(this);
    this.server.connections.delete(this);
    world.after(world.latency(), () => this.#process.run(() => this.close()));
  }

  /** Drops the requests in flight of a client that has closed the connection. */
  forget(): void {
    this.#isKnownToServer = false;
  }

  #toClient(what: () => void): void {
    const { world } = this.server;
    this.#outAt = Math.max(this.#outAt, world.now + world.latency());
    world.after(this.#outAt - world.now, () => {
      if (this.isDead) return;
      this.#process.run(() => {
        if (this.#isOpen) what();
      });
    });
  }
}
