import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { repository } from '../processes.ts';

export type Outcome = { exitCode: number; printed: string; warned: string };

/** Runs a command to its end, as a person does. */
export async function curfew(
  args: readonly string[],
  { input = '', env = {} }: { input?: string; env?: Record<string, string> } = {},
): Promise<Outcome> {
  const running = promisify(execFile)(join(repository, 'bin', 'curfew'), [...args], {
    env: { ...process.env, ...env },
  });
  running.child.stdin?.end(input);
  try {
    const { stdout, stderr } = await running;
    return { exitCode: 0, printed: stdout, warned: stderr };
  } catch (thrown) {
    const { code, stdout, stderr } = thrown as { code: number; stdout: string; stderr: string };
    return { exitCode: code, printed: stdout, warned: stderr };
  }
}
