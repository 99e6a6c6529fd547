import { join } from 'node:path';
import { configDefaults, defineConfig } from 'vitest/config';
import { composeCommand } from './docker.ts';

// Apart from the other tests: these build images and need a Docker engine.
export default defineConfig({
  root: join(import.meta.dirname, '..', '..'),
  test: {
    include: ['test/containers/**/*.containers.ts'],
    // Compose is no part of the engine; the set-up says so where it is missing.
    exclude: [
      ...configDefaults.exclude,
      ...(composeCommand() === undefined ? ['test/containers/compose.containers.ts'] : []),
    ],
    globalSetup: [join(import.meta.dirname, 'build-images.ts')],
    testTimeout: 120_000,
    hookTimeout: 300_000,
    fileParallelism: false,
  },
});
