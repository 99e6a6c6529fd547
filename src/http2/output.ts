import type { Socket } from 'node:net';

/**
 * What the socket may hold for a client that does not read; bytes. Above it we stop reading from that client,
 * and its response bodies wait in their streams' queues.
 */
const maxUnsentBytes = 64 * 1024;
const bufferBytes = 32 * 1024;
const nothing: Buffer = Buffer.alloc(0);

/**
 * The frames that go out on a connection. They are collected in one buffer and written to the socket once a
 * tick. The buffer is used again when the kernel has taken all of it.
 */
export class Output {
  readonly #socket: Socket;
  #buffer = nothing;
  /** What is not yet written to the socket lies between these two. */
  #start = 0;
  #end = 0;
  #isScheduled = false;
  #isEnded = false;
  /** What the kernel had not taken after the last write; bytes. */
  #unsentBytes = 0;
  /** Called when the socket has drained. */
  onDrain: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('drain', () => {
      this.#unsentBytes = 0;
      socket.resume();
      this.onDrain();
    });
  }

  /** The client must read before more of a response's body is written. */
  get isFull(): boolean {
    return this.#unsentBytes > maxUnsentBytes;
  }

  /**
   * Makes room for `length` bytes.
   * @returns where to write them in `buffer`, before the next call of `reserve`
   */
  reserve(length: number): number {
    if (this.#buffer.length - this.#end < length) this.#replaceBuffer(length);
    const at = this.#end;
    this.#end += length;
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      process.nextTick(flush, this);
    }
    return at;
  }

  get buffer(): Buffer {
    return this.#buffer;
  }

  #replaceBuffer(length: number): void {
    this.#write();
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(length, bufferBytes));
    this.#start = 0;
    this.#end = 0;
  }

  flush(): void {
    this.#isScheduled = false;
    this.#write();
    if (this.#unsentBytes > 0) {
      // The socket still refers to the written part, so the next frames go behind it.
      this.#start = this.#end;
      if (this.isFull && !this.#isEnded) this.#socket.pause();
    } else {
      this.#start = 0;
      this.#end = 0;
    }
  }

  /**
   * Sends FIN after what was written. The socket keeps reading, and ignores what it reads: closing it with
   * unread bytes would make the kernel send RST, which destroys responses that the client has not read yet.
   */
  end(): void {
    this.flush();
    this.#isEnded = true;
    this.#socket.end();
    this.#socket.resume();
  }

  /** Releases the buffer. Nothing more is written. */
  release(): void {
    this.#buffer = nothing;
    this.#start = 0;
    this.#end = 0;
  }

  #write(): void {
    if (this.#end > this.#start && this.#socket.writable)
      this.#socket.write(this.#buffer.subarray(this.#start, this.#end));
    this.#start = this.#end;
    this.#unsentBytes = this.#socket.writableLength;
  }
}

const flush = (output: Output): void => output.flush();
