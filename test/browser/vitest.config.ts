import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// Apart from the other tests: these need a Chromium, at /usr/bin/chromium or where CURFEW_TEST_CHROMIUM says.
export default defineConfig({
  root: join(import.meta.dirname, '..', '..'),
  test: {
    include: ['test/**/*.browser.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
});
