import { afterAll, beforeAll, expect } from 'vitest';
import { createEchoServer, type EchoServer } from './echo-server.ts';

/** A server for many clients that do it no good. */
export type SurvivingEcho = {
  readonly echo: EchoServer;
  readonly port: () => number;
  /** What no try has caught. */
  readonly faults: readonly Error[];
  /** Waits until so many connections are over. */
  overWith(connections: number): Promise<void>;
};

/** The server for the tests of a file, from before the first to after the last. */
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
    // Nothing of what was taken for anybody is left.
    expect(echo.budget.bytes).toBe(0);
  });

  return {
    echo,
    port: () => port,
    faults,
    overWith: async (connections) => {
      const deadline = performance.now() + 10_000;
      // A turn costs less than a look every so many milliseconds, which counts with so many runs.
      while (echo.over() < connections && performance.now() < deadline)
        await new Promise((resolve) => setImmediate(resolve));
      expect(echo.over()).toBe(connections);
    },
  };
}
