import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// Apart from the other tests: these need a Chromium.
export default defineConfig({
  root: join(import.meta.dirname, '..', '..'),
  test: {
    include: ['test/**/*.browser.ts'],
    globalSetup: [join(import.meta.dirname, 'chromium.ts')],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
});
