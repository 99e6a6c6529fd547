import { frameFlags, frameHeadBytes, frameTypes, writeFrameHead } from './frames.ts';
import type { Output } from './output.ts';

/** Writes every frame but HEADERS and DATA. RFC 9113 §6. */
export class ControlFrames {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  settings(settings: readonly (readonly [id: number, value: number])[]): void {
    let at = this.#begin({ type: frameTypes.settings, flags: 0, stream: 0, length: settings.length * 6 });
    for (const [id, value] of settings) {
      this.#output.buffer.writeUInt16BE(id, at);
      this.#output.buffer.writeUInt32BE(value, at + 2);
      at += 6;
    }
  }

  acknowledgeSettings(): void {
    this.#begin({ type: frameTypes.settings, flags: frameFlags.ack, stream: 0, length: 0 });
  }

  ping(payload: Buffer): void {
    this.#ping(payload, 0);
  }

  acknowledgePing(payload: Buffer): void {
    this.#ping(payload, frameFlags.ack);
  }

  #ping(payload: Buffer, flags: number): void {
    const at = this.#begin({ type: frameTypes.ping, flags, stream: 0, length: payload.length });
    this.#output.buffer.set(payload, at);
  }

  goAway(lastStream: number, code: number): void {
    const at = this.#begin({ type: frameTypes.goAway, flags: 0, stream: 0, length: 8 });
    this.#output.buffer.writeUInt32BE(lastStream, at);
    this.#output.buffer.writeUInt32BE(code, at + 4);
  }

  resetStream(stream: number, code: number): void {
    const at = this.#begin({ type: frameTypes.resetStream, flags: 0, stream, length: 4 });
    this.#output.buffer.writeUInt32BE(code, at);
  }

  windowUpdate(stream: number, increment: number): void {
    const at = this.#begin({ type: frameTypes.windowUpdate, flags: 0, stream, length: 4 });
    this.#output.buffer.writeUInt32BE(increment, at);
  }

  /** Writes the frame's head. @returns where its payload begins in `output.buffer` */
  #begin(frame: { length: number; type: number; flags: number; stream: number }): number {
    const at = this.#output.reserve(frameHeadBytes + frame.length);
    writeFrameHead(this.#output.buffer, at, frame);
    return at + frameHeadBytes;
  }
}
