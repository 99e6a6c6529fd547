import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// Apart from the other tests: these need Helm, and all but the chart's rendering a Kubernetes.
export default defineConfig({
  root: join(import.meta.dirname, '..', '..'),
  test: {
    include: ['test/cluster/**/*.cluster.ts'],
    globalSetup: [join(import.meta.dirname, 'images.ts')],
    testTimeout: 300_000,
    hookTimeout: 900_000,
    fileParallelism: false,
    sequence: { concurrent: false },
  },
});
