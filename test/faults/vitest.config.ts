import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// Apart from the other tests: these break real servers and take minutes. One file at a time, since they
// measure.
export default defineConfig({
  root: join(import.meta.dirname, '..', '..'),
  test: {
    include: ['test/faults/**/*.faults.ts'],
    testTimeout: 90_000,
    hookTimeout: 60_000,
    pool: 'forks',
    fileParallelism: false,
  },
});
