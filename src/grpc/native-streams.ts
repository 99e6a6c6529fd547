import type { Connection } from '../http2/connection.ts';
import type { AuthorizationService, Reply } from '../envoy/authorization-service.ts';
import type { CallPlan } from './request-head.ts';
import { malformed } from '../envoy/check-request.ts';
import { prefixed } from '../envoy/encoded-response.ts';
import { grpcStatus } from './grpc-status.ts';
import { readHealthRequest, writeHealth, writeHealthList, type ServingStatus } from './health-protocol.ts';
import type { HealthService, HealthWatcher } from './health-service.ts';
import { MessageStream } from './message-stream.ts';

/** One call of `Authorization/Check`. */
export class CheckStream extends MessageStream implements Reply {
  readonly #service: AuthorizationService;

  constructor(
    connection: Connection,
    id: number,
    plan: CallPlan,
    maxMessageBytes: number,
    service: AuthorizationService,
  ) {
    super(connection, id, plan, maxMessageBytes);
    this.#service = service;
  }

  protected override onMessage(bytes: Buffer): void {
    const request = this.#service.decode(bytes);
    if (request === malformed) return this.refuse(grpcStatus.internal, 'malformed check request');
    this.isAsked();
    this.#service.answer(request, this);
  }
}

/** One call of `Health/Check` or `Health/List`. */
export class HealthStream extends MessageStream {
  readonly #health: HealthService;
  readonly #isList: boolean;

  constructor(
    connection: Connection,
    id: number,
    plan: CallPlan,
    maxMessageBytes: number,
    options: { health: HealthService; isList: boolean },
  ) {
    super(connection, id, plan, maxMessageBytes);
    this.#health = options.health;
    this.#isList = options.isList;
  }

  protected override onMessage(bytes: Buffer): void {
    const service = readHealthRequest(bytes);
    if (service === undefined) return this.refuse(grpcStatus.internal, 'malformed health request');
    if (this.#isList) return this.send(prefixed(writeHealthList(this.#health.list())));
    const status = this.#health.check(service);
    if (status === undefined) this.fail(grpcStatus.notFound, 'unknown service');
    else this.send(prefixed(writeHealth(status)));
  }
}

/** One call of `Health/Watch`. */
export class WatchStream extends MessageStream implements HealthWatcher {
  readonly #health: HealthService;

  constructor(
    connection: Connection,
    id: number,
    plan: CallPlan,
    maxMessageBytes: number,
    health: HealthService,
  ) {
    super(connection, id, plan, maxMessageBytes);
    this.#health = health;
  }

  protected override onMessage(bytes: Buffer): void {
    const service = readHealthRequest(bytes);
    if (service === undefined) this.refuse(grpcStatus.internal, 'malformed health request');
    else this.#health.watch(service, this);
  }

  tell(status: ServingStatus): void {
    this.begin(prefixed(writeHealth(status)));
  }

  protected override onOver(): void {
    this.#health.unwatch(this);
  }
}

/** A call that is refused for what its head says. */
export class RefusedStream extends MessageStream {
  protected override onMessage(): void {
    this.refuse(grpcStatus.unimplemented, 'unknown method');
  }
}
