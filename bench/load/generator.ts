// The load generator: a separate process, controlled by messages.
import { readFileSync } from 'node:fs';
import { createChooser, drive, type Pool } from './driver.ts';
import type { Answer, Command, Load, LoadResult } from './messages.ts';
import { checkMessage, httpRequest } from './requests.ts';

const pools = new Map<string, Pool>();
// Each target has received a different part of the cold tokens.
const positions = new Map<string, { hot: number; cold: number }>();

function addPool(name: string, file: string): void {
  const tokens = readFileSync(file, 'utf8').trim().split('\n');
  pools.set(name, { http: tokens.map(httpRequest), grpc: tokens.map(checkMessage) });
}

function requestsOf(name: string | undefined, load: Load): readonly Buffer[] {
  if (name === undefined) return [];
  const pool = pools.get(name);
  if (pool === undefined) throw new Error(`no pool ${name}`);
  return pool[load.target.protocol];
}

function run(load: Load): Promise<LoadResult> {
  const { mix, target } = load;
  const cold = requestsOf(mix.cold, load);
  const requests = [...requestsOf(mix.hot, load).slice(0, mix.hotTokens), ...cold];
  const key = JSON.stringify([target, mix.cold]);
  const position = positions.get(key) ?? { hot: 0, cold: 0 };
  positions.set(key, position);
  return drive(load, requests, createChooser(mix, cold.length, position));
}

async function obey(command: Command): Promise<Answer> {
  if (command.kind === 'load') return { kind: 'result', result: await run(command.load) };
  addPool(command.name, command.file);
  return { kind: 'ready' };
}

process.on('message', (command: Command) => {
  obey(command)
    .catch((thrown: unknown): Answer => ({ kind: 'error', message: String(thrown) }))
    .then((answer) => process.send?.(answer))
    .catch(() => process.exit(1));
});
process.on('disconnect', () => process.exit(0));
