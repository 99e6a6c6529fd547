/** Answer to one request. */
export type Outcome = 'allowed' | 'denied' | 'failed';

/** A connection, or one of HTTP/2, that carries requests. */
export type Connection = {
  /** Sends one request, whose latency counts from `startedUs`. Call only while `free` is above zero. */
  send(token: number, startedUs: number): void;
  /** The number of requests that may be sent before another answer arrives. */
  readonly free: number;
  close(): void;
};

export type OnAnswer = (startedUs: number, outcome: Outcome) => void;

/** Monotonic time in microseconds. */
export const nowUs = (): number => performance.now() * 1000;
