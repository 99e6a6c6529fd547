// Runs the model many times: node test/revocation/model/main.ts --runs 200000 [--seed N] [--quick]
// --quick: prints the first violation, without searching for a smaller scenario.
import { parseArgs } from 'node:util';
import { runModel } from './run.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '200000' },
    seed: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const runs = Number(values.runs);
const seed = values.seed === undefined ? undefined : Number(values.seed);
const startedMs = performance.now();
try {
  runModel({ runs, seed, isQuick: values.quick });
  console.log(`${runs} runs without a violation in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
} catch (thrown) {
  console.log(thrown instanceof Error ? `${String(thrown.cause)}\n${thrown.message}` : String(thrown));
  process.exitCode = 1;
}
