import { status as grpc, type ServerWritableStream } from '@grpc/grpc-js';
import type { HealthCheckRequest__Output } from './generated/grpc/health/v1/HealthCheckRequest.ts';
import type { HealthCheckResponse } from './generated/grpc/health/v1/HealthCheckResponse.ts';
import type { HealthHandlers } from './generated/grpc/health/v1/Health.ts';
import { authorizationServiceName } from './method-names.ts';

type Watcher = ServerWritableStream<HealthCheckRequest__Output, HealthCheckResponse>;

export type HealthService = {
  readonly handlers: HealthHandlers;
  /** Tells the watchers if the answer has changed since the last call. */
  refresh(): void;
  /** NOT_SERVING from now on, and the end of every watch, so that connections can close. */
  drain(): void;
};

// A watch holds a stream for as long as its client likes.
const maxWatchers = 256;
const services: ReadonlySet<string> = new Set(['', authorizationServiceName]);

/**
 * `grpc.health.v1.Health`: the server and its one service are healthy while the authorizer is ready.
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
export function createHealthService(options: { isReady(): boolean }): HealthService {
  const watchers = new Map<Watcher, { ofKnownService: boolean }>();
  let draining = false;
  let told: 'SERVING' | 'NOT_SERVING' | undefined;

  const current = (): 'SERVING' | 'NOT_SERVING' =>
    !draining && options.isReady() ? 'SERVING' : 'NOT_SERVING';

  function refresh(): void {
    const status = current();
    if (status === told) return;
    told = status;
    for (const [watcher, { ofKnownService }] of watchers) if (ofKnownService) watcher.write({ status });
  }

  function watch(call: Watcher): void {
    const ofKnownService = services.has(call.request.service ?? '');
    if (draining || watchers.size >= maxWatchers) {
      const code = draining ? grpc.UNAVAILABLE : grpc.RESOURCE_EXHAUSTED;
      call.emit('error', { code, details: draining ? 'draining' : 'too many watches' });
      return;
    }
    call.write({ status: ofKnownService ? current() : 'SERVICE_UNKNOWN' });
    // Our services never change, so an unknown one stays unknown; the protocol wants its stream kept open.
    watchers.set(call, { ofKnownService });
    call.on('cancelled', () => watchers.delete(call));
    call.on('close', () => watchers.delete(call));
  }

  const handlers: HealthHandlers = {
    Check: (call, answer) => {
      if (!services.has(call.request.service ?? ''))
        return answer({ code: grpc.NOT_FOUND, details: 'unknown service' });
      answer(null, { status: current() });
    },
    List: (_, answer) => {
      const status = current();
      answer(null, { statuses: Object.fromEntries([...services].map((name) => [name, { status }])) });
    },
    Watch: watch,
  };

  function drain(): void {
    draining = true;
    refresh();
    for (const watcher of watchers.keys())
      watcher.emit('error', { code: grpc.UNAVAILABLE, details: 'draining' });
    watchers.clear();
  }

  return { handlers, refresh, drain };
}
