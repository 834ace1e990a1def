import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // One process: starting more costs more than the tests do.
    pool: 'threads',
    maxWorkers: 1,
    isolate: false,
    testTimeout: 120_000,
  },
});
