import { afterAll, beforeAll, expect } from 'vitest';
import { createEchoServer, type EchoServer } from './echo-server.ts';

/** A server that outlives many hostile clients. */
export type SurvivingEcho = {
  readonly echo: EchoServer;
  readonly port: () => number;
  /** Uncaught exceptions of the process. */
  readonly faults: readonly Error[];
  /** Waits until so many connections have closed. */
  closedWith(connections: number): Promise<void>;
};

/** One server for all tests of a file. */
export function useSurvivingEcho(): SurvivingEcho {
  const echo = createEchoServer();
  let port = 0;
  const faults: Error[] = [];
  const keep = (error: Error): number => faults.push(error);

  beforeAll(async () => {
    process.on('uncaughtExceptionMonitor', keep);
    port = await echo.listen();
  });
  afterAll(async () => {
    process.off('uncaughtExceptionMonitor', keep);
    await echo.stop();
    // All reserved memory was released.
    expect(echo.budget.bytes).toBe(0);
  });

  return {
    echo,
    port: () => port,
    faults,
    closedWith: async (connections) => {
      const deadline = performance.now() + 10_000;
      // With thousands of runs, waiting for a turn of the event loop is much faster than polling with a
      // timer.
      while (echo.closed() < connections && performance.now() < deadline)
        await new Promise((resolve) => setImmediate(resolve));
      expect(echo.closed()).toBe(connections);
    },
  };
}
