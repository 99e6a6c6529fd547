import { Counter, type Registry } from 'prom-client';

/** The injector's metrics. Label values come from closed lists; never a pod or a namespace. */
export function createInjectorMetrics(registry: Registry) {
  return {
    injections: new Counter({
      name: 'curfew_injections_total',
      help: 'Pods admitted with the sidecars, left alone, or refused.',
      labelNames: ['result', 'reason'],
      registers: [registry],
    }),
  };
}

export type InjectorMetrics = ReturnType<typeof createInjectorMetrics>;
