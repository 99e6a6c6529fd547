import type { EpochSeconds } from '../runtime/clock.ts';
import { usageFault } from './command.ts';

/** Reads a time that has passed, ISO 8601 or seconds since 1970. @throws ERR_USAGE naming the option */
export function readPastTime(option: string, text: string): EpochSeconds {
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (!Number.isFinite(ms))
    throw usageFault(`${option} must be a time such as 2026-01-31T12:00:00Z, or seconds since 1970`);
  if (ms > Date.now()) throw usageFault(`${option} must lie in the past`);
  return ms / 1000;
}
