import type { Socket } from 'node:net';

/** Held back for a peer that doesn't read, before nothing is read from it and no body sent to it any more; octets. */
const mostUnsent = 64 * 1024;
const roomBytes = 32 * 1024;
const nothing: Buffer = Buffer.alloc(0);

/**
 * What goes out on a connection: collected, and written once when the work at hand is done. The room is used again
 * once the kernel has taken all of it.
 */
export class Output {
  readonly #socket: Socket;
  #room = nothing;
  #start = 0;
  #end = 0;
  #isScheduled = false;
  #isEnded = false;
  /** What the kernel hadn't taken when last something was written; octets. */
  #unsent = 0;
  /** Told when it is full no more. */
  onSpace: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('drain', () => {
      this.#unsent = 0;
      socket.resume();
      this.onSpace();
    });
  }

  /** The peer has to read first. */
  get isFull(): boolean {
    return this.#unsent > mostUnsent;
  }

  /** Where `length` octets may be written, in `room`. To be written before anything else is asked for. */
  reserve(length: number): number {
    if (this.#room.length - this.#end < length) this.#makeRoom(length);
    const at = this.#end;
    this.#end += length;
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      process.nextTick(flush, this);
    }
    return at;
  }

  get room(): Buffer {
    return this.#room;
  }

  #makeRoom(length: number): void {
    this.#write();
    this.#room = Buffer.allocUnsafeSlow(Math.max(length, roomBytes));
    this.#start = 0;
    this.#end = 0;
  }

  flush(): void {
    this.#isScheduled = false;
    this.#write();
    if (this.#unsent > 0) {
      // Still being sent: what comes next goes behind it.
      this.#start = this.#end;
      if (this.isFull && !this.#isEnded) this.#socket.pause();
    } else {
      this.#start = 0;
      this.#end = 0;
    }
  }

  /** Says that nothing more comes. What still comes is passed over: unread, it would turn our end into a reset, which takes answers away. */
  end(): void {
    this.flush();
    this.#isEnded = true;
    this.#socket.end();
    this.#socket.resume();
  }

  /** Lets go of its room: nothing more is written. */
  drop(): void {
    this.#room = nothing;
    this.#start = 0;
    this.#end = 0;
  }

  #write(): void {
    if (this.#end > this.#start && this.#socket.writable)
      this.#socket.write(this.#room.subarray(this.#start, this.#end));
    this.#start = this.#end;
    this.#unsent = this.#socket.writableLength;
  }
}

const flush = (output: Output): void => output.flush();
