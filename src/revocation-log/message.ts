import { formatVersion, isObject, parseJson } from './event.ts';

/** Largest number of events in one message. */
const maxEventsPerMessage = 1000;
const maxMessageLength = 16 * 1024 * 1024;

/** A message of the log's channel. */
export type ReadMessage =
  | {
      readonly kind: 'batch';
      readonly owner: string;
      readonly epoch: number;
      /** Sequence number of the first event; `seq + 1` of a message without events. */
      readonly firstSeq: number;
      readonly seq: number;
      readonly events: readonly unknown[];
    }
  /** One event that third-party code published on the channel without writing it to the log. */
  | { readonly kind: 'bare'; readonly event: unknown }
  | { readonly kind: 'malformed' };

const malformed: ReadMessage = { kind: 'malformed' };

/**
 * Reads a message. The events of a batch must be numbered without a gap; `readEvent` then reads each of them.
 */
export function readMessage(text: string): ReadMessage {
  if (text.length > maxMessageLength) return malformed;
  const value = parseJson(text);
  if (!isObject(value)) return malformed;
  const { v, owner, epoch, seq, events } = value;
  if (events === undefined) return { kind: 'bare', event: value };
  if (v !== formatVersion || typeof owner !== 'string' || !isCount(epoch) || !isCount(seq)) return malformed;
  if (!Array.isArray(events) || events.length > maxEventsPerMessage) return malformed;
  const firstSeq = seq - events.length + 1;
  const numbered = events.every((event, index) => isObject(event) && event['seq'] === firstSeq + index);
  if (!numbered || firstSeq < 1) return malformed;
  return { kind: 'batch', owner, epoch, firstSeq, seq, events };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

/** A message as the owner publishes it. `members` are events as `writeEvent` wrote them. */
export const writeMessage = (owner: string, epoch: number, seq: number, members: readonly string[]): string =>
  `{"v":${formatVersion},"owner":${JSON.stringify(owner)},"epoch":${epoch},"seq":${seq},"events":[${members.join(',')}]}`;
