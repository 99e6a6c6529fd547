import type { CheckRequest } from '../check/check-request.ts';

/** Its texts are made when they are asked for, from bytes that it keeps until then. */
export type DecodedRequest = CheckRequest & {
  /** Lets go of the message but for those few bytes; for a request that has to wait. */
  letGo(): void;
};

const noExtensions: ReadonlyMap<string, string> = new Map();

/** A request that is let through is asked for its headers alone. */
export class LazyRequest implements DecodedRequest {
  #bytes: Buffer;
  readonly headers = new Map<string, string[]>();
  contextExtensions = noExtensions;
  #methodStart = 0;
  #methodEnd = 0;
  #hostStart = 0;
  #hostEnd = 0;
  #pathStart = 0;
  #pathEnd = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get method(): string {
    return this.#bytes.toString('utf8', this.#methodStart, this.#methodEnd);
  }

  get host(): string {
    return this.#bytes.toString('utf8', this.#hostStart, this.#hostEnd);
  }

  get path(): string {
    return this.#bytes.toString('utf8', this.#pathStart, this.#pathEnd);
  }

  methodAt(start: number, end: number): void {
    this.#methodStart = start;
    this.#methodEnd = end;
  }

  hostAt(start: number, end: number): void {
    this.#hostStart = start;
    this.#hostEnd = end;
  }

  pathAt(start: number, end: number): void {
    this.#pathStart = start;
    this.#pathEnd = end;
  }

  letGo(): void {
    const method = this.#bytes.subarray(this.#methodStart, this.#methodEnd);
    const host = this.#bytes.subarray(this.#hostStart, this.#hostEnd);
    const path = this.#bytes.subarray(this.#pathStart, this.#pathEnd);
    this.#bytes = Buffer.concat([method, host, path]);
    this.methodAt(0, method.length);
    this.hostAt(method.length, method.length + host.length);
    this.pathAt(method.length + host.length, this.#bytes.length);
  }
}
