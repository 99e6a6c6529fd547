import type { ServingStatus } from './health-protocol.ts';
import { grpcStatus } from './grpc-status.ts';
import { authorizationServiceName } from '../envoy/method-names.ts';

/** One `Watch`: told of each change until it is unwatched or failed. */
export type HealthWatcher = {
  tell(status: ServingStatus): void;
  /** The end of the call. */
  fail(code: number, message: string): void;
};

/** `grpc.health.v1.Health` without its transport. */
export type HealthService = {
  /** @returns undefined for a service that isn't ours */
  check(service: string): ServingStatus | undefined;
  list(): ReadonlyMap<string, ServingStatus>;
  watch(service: string, watcher: HealthWatcher): void;
  unwatch(watcher: HealthWatcher): void;
  /** Tells the watchers if the answer has changed since the last call. */
  refresh(): void;
  /** NOT_SERVING from now on. Watches stay open and are told. */
  drain(): void;
  /** The same, and ends every watch, so that connections can close. */
  close(): void;
};

// A watch holds a stream for as long as its client likes.
const maxWatchers = 256;
const services: ReadonlySet<string> = new Set(['', authorizationServiceName]);

/**
 * `grpc.health.v1.Health`: the server and its one service are healthy while the authorizer is ready.
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
export function createHealthService(options: { isReady(): boolean }): HealthService {
  const watchers = new Map<HealthWatcher, { ofKnownService: boolean }>();
  let draining = false;
  let closed = false;
  let told: ServingStatus | undefined;

  const current = (): ServingStatus => (!draining && options.isReady() ? 'SERVING' : 'NOT_SERVING');

  function refresh(): void {
    const status = current();
    if (status === told) return;
    told = status;
    for (const [watcher, { ofKnownService }] of watchers) if (ofKnownService) watcher.tell(status);
  }

  function watch(service: string, watcher: HealthWatcher): void {
    if (closed) return watcher.fail(grpcStatus.unavailable, 'draining');
    if (watchers.size >= maxWatchers) return watcher.fail(grpcStatus.resourceExhausted, 'too many watches');
    const ofKnownService = services.has(service);
    // Our services never change, so an unknown one stays unknown; the protocol wants its stream kept open.
    watchers.set(watcher, { ofKnownService });
    watcher.tell(ofKnownService ? current() : 'SERVICE_UNKNOWN');
  }

  function drain(): void {
    draining = true;
    refresh();
  }

  function close(): void {
    closed = true;
    drain();
    const all = [...watchers.keys()];
    watchers.clear();
    for (const watcher of all) watcher.fail(grpcStatus.unavailable, 'draining');
  }

  return {
    check: (service) => (services.has(service) ? current() : undefined),
    list: () => new Map([...services].map((name) => [name, current()])),
    watch,
    unwatch: (watcher) => watchers.delete(watcher),
    refresh,
    drain,
    close,
  };
}
