import type { ControlFrames } from './control-frames.ts';

const drainPayload = Buffer.from('drainnow');
const keepalivePayload = Buffer.from('keepaliv');

/** The PING frames that we send, and their acknowledgements. RFC 9113 §6.7. */
export class Pings {
  readonly #control: ControlFrames;
  #isPending = false;

  constructor(control: ControlFrames) {
    this.#control = control;
  }

  /** A keepalive PING has not been acknowledged yet. */
  get isPending(): boolean {
    return this.#isPending;
  }

  /** @returns false, and sends nothing, while the last keepalive PING is pending */
  sendKeepalive(): boolean {
    if (this.#isPending) return false;
    this.#isPending = true;
    this.#control.ping(keepalivePayload);
    return true;
  }

  /** Frames arrive in order, so the acknowledgement comes after every request that was under way. */
  sendDrain(): void {
    this.#control.ping(drainPayload);
  }

  /** Takes an acknowledgement. @returns true for that of `sendDrain` */
  acknowledge(payload: Buffer): boolean {
    if (payload.equals(keepalivePayload)) this.#isPending = false;
    return payload.equals(drainPayload);
  }
}
