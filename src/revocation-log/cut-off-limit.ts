import type { EpochSeconds } from '../runtime/clock.ts';
import type { RevocationEvent } from './event.ts';

/**
 * The latest time that an issuer's clock can show now. A later cut-off would refuse tokens that don't exist
 * yet.
 */
export const latestCutOff = (nowMs: number, clockToleranceMs: number): EpochSeconds =>
  (nowMs + clockToleranceMs) / 1000;

/**
 * Lowers a cut-off that lies in the future to `latestCutOff`. The log's owner does this, by one clock;
 * readers have different clocks and would each get another cut-off.
 */
export function limitCutOff<Event extends RevocationEvent>(
  event: Event,
  nowMs: number,
  clockToleranceSeconds: number,
): Event {
  const latest = latestCutOff(nowMs, clockToleranceSeconds * 1000);
  return event.at <= latest ? event : { ...event, at: latest };
}
