import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// Apart from the other tests: these build images and need a Docker engine.
export default defineConfig({
  root: join(import.meta.dirname, '..', '..'),
  test: {
    include: ['test/containers/**/*.containers.ts'],
    globalSetup: [join(import.meta.dirname, 'build-images.ts')],
    testTimeout: 120_000,
    hookTimeout: 300_000,
    fileParallelism: false,
  },
});
