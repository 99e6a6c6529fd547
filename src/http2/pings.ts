import type { ControlFrames } from './control-frames.ts';

const drainPing = Buffer.from('drainnow');
const keepalivePing = Buffer.from('keepaliv');

/** What we ask a peer for, and whether it has answered. RFC 9113 §6.7. */
export class Pings {
  readonly #control: ControlFrames;
  #isOwed = false;

  constructor(control: ControlFrames) {
    this.#control = control;
  }

  /** A sign of life is owed. */
  get isOwed(): boolean {
    return this.#isOwed;
  }

  /** Asks for a sign of life. @returns false when the last one is still owed */
  ask(): boolean {
    if (this.#isOwed) return false;
    this.#isOwed = true;
    this.#control.ping(keepalivePing);
    return true;
  }

  /** Asks for an answer that comes after all that was under way. */
  askLast(): void {
    this.#control.ping(drainPing);
  }

  /** @returns true for the answer to `askLast` */
  answered(payload: Buffer): boolean {
    if (payload.equals(keepalivePing)) this.#isOwed = false;
    return payload.equals(drainPing);
  }
}
