import type { View } from './view.ts';

const firstMs = 15_000;
const maxMs = 120_000;

/**
 * Says when to give up a connection over which nothing of the log is proven: after 15 s, the next one after twice as long,
 * up to two minutes. It may lead to a master that was cut off, and a new one be found in its place. Only the log counts:
 * an issuer that can't be proven would be no better off over another connection.
 */
export class ConnectionPatience {
  #patienceMs = firstMs;

  /** Call about once a second, and after each probe. @param connectedMs age of the connection, if there is one */
  isOver(view: Pick<View, 'isLogLive' | 'logStalenessMs'>, connectedMs: number | undefined): boolean {
    if (view.isLogLive) {
      this.#patienceMs = firstMs;
      return false;
    }
    if (connectedMs === undefined || Math.min(connectedMs, view.logStalenessMs()) < this.#patienceMs)
      return false;
    this.#patienceMs = Math.min(2 * this.#patienceMs, maxMs);
    return true;
  }
}
