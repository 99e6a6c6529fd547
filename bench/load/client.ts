import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { Answer, Command, Load, LoadResult } from './messages.ts';

/** The load generator, as the process that controls it sees it. */
export type LoadClient = {
  readonly pid: number;
  addPool(name: string, file: string): Promise<void>;
  run(load: Load): Promise<LoadResult>;
  stop(): void;
};

/** One command at a time. */
export function startLoadClient(): LoadClient {
  const child = fork(join(import.meta.dirname, 'generator.ts'), { stdio: 'inherit' });

  async function tell(command: Command): Promise<LoadResult | undefined> {
    const answer = await ask(child, command);
    if (answer.kind === 'error') throw new Error(`load generator: ${answer.message}`);
    return answer.kind === 'result' ? answer.result : undefined;
  }

  return {
    pid: child.pid ?? -1,
    addPool: async (name, file) => {
      await tell({ kind: 'pool', name, file });
    },
    run: async (load) => {
      const result = await tell({ kind: 'load', load });
      if (result === undefined) throw new Error('load generator: no result');
      return result;
    },
    stop: () => child.disconnect(),
  };
}

async function ask(child: ChildProcess, command: Command): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const ended = (): void => reject(new Error('load generator ended'));
  child.once('exit', ended);
  child.once('message', (answer: Answer) => resolve(answer));
  child.send(command);
  try {
    return await promise;
  } finally {
    child.off('exit', ended);
  }
}
