import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// The test runner keeps a file of its own in the user's data folder: here, not in the home directory.
process.env['XDG_DATA_HOME'] = join(import.meta.dirname, '.cache', 'data');

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Enough for a machine with five times as much to do as it can: a timeout is for what hangs.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
