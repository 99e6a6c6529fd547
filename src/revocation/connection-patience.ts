import type { View } from './view.ts';

const firstMs = 15_000;
const maxMs = 120_000;

/**
 * Decides when to close a connection over which the log isn't proven current: after 15 s, and after twice as
 * long for each further connection, up to two minutes. The connection may lead to a former master that a
 * fail-over cut off, and a new connection finds the new master. Only the log counts: another connection
 * doesn't help an issuer without a proof.
 */
export class ConnectionPatience {
  #patienceMs = firstMs;

  /**
   * Call about once a second and after each probe.
   * @param connectedMs age of the connection; undefined without one
   */
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
