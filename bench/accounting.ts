import { readFileSync, readdirSync } from 'node:fs';

/** CPU time of a process so far, and the time that its threads waited for a busy core; microseconds. */
export type CpuTime = { readonly usedUs: number; readonly waitedUs: number };

/**
 * Reads the scheduler's statistics of every thread of a process, in nanoseconds. Threads that have ended are
 * missing, but the contenders keep their threads.
 * @see proc_pid_schedstat(5)
 */
export function readCpuTime(pid: number): CpuTime {
  let usedUs = 0;
  let waitedUs = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const [used = 0, waited = 0] = readThread(`/proc/${pid}/task/${thread}/schedstat`);
    usedUs += used / 1000;
    waitedUs += waited / 1000;
  }
  return { usedUs, waitedUs };
}

function readThread(file: string): number[] {
  try {
    return readFileSync(file, 'utf8').split(' ').map(Number);
  } catch {
    // The thread ended between the two calls.
    return [];
  }
}

/** Resident memory now, and its maximum so far; MB of 10^6 bytes. */
export function readMemory(pid: number): { residentMb: number; peakMb: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024) / 1e6;
  return { residentMb: field('VmRSS'), peakMb: field('VmHWM') };
}

/** CPU time of all cores since boot that was used, or taken by the hypervisor; microseconds. */
export function readBusyTime(): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (
    readFileSync('/proc/stat', 'utf8').split('\n', 1)[0] ?? ''
  )
    .split(/\s+/)
    .map(Number);
  return (user + nice + system + irq + softirq + steal) * 10_000;
}
