import type { OutboxEvent } from '../publisher/outbox-event.ts';

/**
 * Brings a cut-off that lies in the future down to where an issuer's clock can be at most. The owner does it, by one
 * clock: readers would each do it differently.
 */
export function clampAt(event: OutboxEvent, nowMs: number, toleranceSeconds: number): OutboxEvent {
  const latest = nowMs / 1000 + toleranceSeconds;
  return event.at <= latest ? event : { ...event, at: latest };
}
