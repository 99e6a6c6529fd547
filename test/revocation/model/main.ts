// Runs the model for long: node test/revocation/model/main.ts --runs 200000 [--seed N]
import { parseArgs } from 'node:util';
import { runModel } from './run.ts';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '200000' }, seed: { type: 'string' } },
});
const runs = Number(values.runs);
const startedMs = performance.now();
try {
  runModel({ runs, seed: values.seed === undefined ? undefined : Number(values.seed) });
} catch (thrown) {
  console.log(thrown instanceof Error ? `${String(thrown.cause)}\n${thrown.message}` : String(thrown));
  process.exit(1);
}
console.log(`${runs} runs without a violation in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
