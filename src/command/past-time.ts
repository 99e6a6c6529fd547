import { systemClock, type EpochSeconds } from '../runtime/clock.ts';
import { usageFault } from './command.ts';

/** Parses a time in the past, in ISO 8601 or seconds since 1970. @throws ERR_USAGE, which names the option */
export function readPastTime(option: string, text: string, clock = systemClock): EpochSeconds {
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (!Number.isFinite(ms))
    throw usageFault(`${option} must be a time such as 2026-01-31T12:00:00Z, or seconds since 1970`);
  if (ms > clock.nowMs()) throw usageFault(`${option} must be in the past`);
  return ms / 1000;
}
