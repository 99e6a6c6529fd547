import { grpcStatus } from './grpc-status.ts';
import { writeHealth, type ServingStatus } from './health-protocol.ts';
import type { ResponseStream } from './method.ts';

/** The health that `grpc.health.v1.Health` reports. */
export type HealthService = {
  /** @returns undefined for an unknown service */
  check(service: string): ServingStatus | undefined;
  list(): ReadonlyMap<string, ServingStatus>;
  /** Writes the status now, and after each change until `unwatch`. */
  watch(service: string, responses: ResponseStream): void;
  unwatch(responses: ResponseStream): void;
  /** Notifies the watchers if the status has changed since the last call. */
  refresh(): void;
  /** NOT_SERVING from now on. Watches stay open and are notified. */
  drain(): void;
  /** The same, and ends every watch, so that connections can close. */
  close(): void;
};

// A watch holds a stream for as long as its client likes.
const maxWatchers = 256;

/**
 * The server and its services are healthy while the program is ready.
 * @param options.services the names of the services
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
export function createHealthService(options: {
  services: readonly string[];
  isReady(): boolean;
}): HealthService {
  /** The empty name is the whole server's. */
  const services: ReadonlySet<string> = new Set(['', ...options.services]);
  const watchers = new Map<ResponseStream, { ofKnownService: boolean }>();
  let draining = false;
  let closed = false;
  let lastStatus: ServingStatus | undefined;

  const current = (): ServingStatus => (!draining && options.isReady() ? 'SERVING' : 'NOT_SERVING');

  function refresh(): void {
    const status = current();
    if (status === lastStatus) return;
    lastStatus = status;
    for (const [responses, { ofKnownService }] of watchers)
      if (ofKnownService) responses.write(writeHealth(status));
  }

  function watch(service: string, responses: ResponseStream): void {
    if (closed) return responses.reject(grpcStatus.unavailable, 'draining');
    if (watchers.size >= maxWatchers)
      return responses.reject(grpcStatus.resourceExhausted, 'too many watches');
    const ofKnownService = services.has(service);
    // The services never change, so an unknown one stays unknown; the protocol wants its stream kept open.
    watchers.set(responses, { ofKnownService });
    responses.write(writeHealth(ofKnownService ? current() : 'SERVICE_UNKNOWN'));
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
    for (const responses of all) responses.reject(grpcStatus.unavailable, 'draining');
  }

  return {
    check: (service) => (services.has(service) ? current() : undefined),
    list: () => new Map([...services].map((name) => [name, current()])),
    watch,
    unwatch: (responses) => watchers.delete(responses),
    refresh,
    drain,
    close,
  };
}
