import type { Issuer, Token } from './issuer.ts';
import type { Sidecar } from './sidecar.ts';

/** What the promise is measured by. */
export type Bounds = {
  readonly maxExposureMs: number;
  readonly clockToleranceSeconds: number;
  readonly lifetimeSeconds: number;
  readonly maxEntries: number;
};

/** After a recovery, or while all is well, a revocation is effective within this time; ms. */
const recoveredMs = 6000;
const healthyMs = 2000;
/** A fresh view after this time in health proves itself again and again; ms. */
const provenMs = 8000;

/** A broken promise. */
export class Violation extends Error {
  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
    this.name = 'Violation';
  }
}

/** Watches the sidecars' decisions. */
export class Oracles {
  readonly #bounds: Bounds;
  /** Revoked tokens a sidecar refused as such. */
  readonly #refused = new WeakMap<Sidecar, Set<Token>>();

  constructor(bounds: Bounds) {
    this.#bounds = bounds;
  }

  /**
   * A request with a token.
   * @param healthySince true time of the last fault's end
   * @param provableSince since when the log can prove the issuer; Infinity if it can't
   */
  request(
    sidecar: Sidecar,
    issuer: Issuer,
    token: Token,
    { healthySince, provableSince }: { healthySince: number; provableSince: number },
  ): void {
    const { maxExposureMs, clockToleranceSeconds } = this.#bounds;
    const nowMs = sidecar.clock.nowMs();
    const now = sidecar.world.now;
    // The token room refuses what has expired.
    if (token.expiresAt <= nowMs / 1000) return;
    const finding = sidecar.revocations.evaluate(token, { maxExposureMs, clockToleranceSeconds }, nowMs);
    const dead = issuer.deadSince(token);
    const what = `${describe(token)} at ${now.toFixed(0)}, revoked at ${dead.toFixed(0)}: ${JSON.stringify(finding)}`;
    if (finding.kind === 'clear') {
      if (token.issuedAt > nowMs / 1000 + clockToleranceSeconds)
        throw new Violation('I1', `from the future: ${what}`);
      if (!token.isForged && now > dead + maxExposureMs + clockToleranceSeconds * 1000)
        throw new Violation('I1', `accepted too late: ${what}`);
      if (this.#refusals(sidecar).has(token)) throw new Violation('I3', `resurrected: ${what}`);
      const promptBy = Math.max(dead + healthyMs, Math.max(healthySince, sidecar.bornAt) + recoveredMs);
      if (now > Math.max(promptBy, provableSince))
        throw new Violation('I2', `not prompt (healthy since ${healthySince.toFixed(0)}): ${what}`);
    }
    if (finding.kind === 'revoked') {
      if (dead <= now) this.#refusals(sidecar).add(token);
      // Where nothing was ever revoked there is nothing to flood.
      const isFlooded = issuer.revocations.length > 0 && sidecar.flooded.has(token.issuer);
      if (!isFlooded && !issuer.mayBeRefused(token)) throw new Violation('I5', `never revoked: ${what}`);
    }
    if (
      finding.kind === 'unproven' &&
      !token.isForged &&
      now > Math.max(healthySince, sidecar.bornAt, provableSince) + provenMs
    )
      throw new Violation('I5', `unproven in health since ${healthySince.toFixed(0)}: ${what}`);
    if (finding.kind === 'outlives_log') throw new Violation('I5', `lifetime: ${what}`);
  }

  /** In health, what can't be proven about some issuers holds up neither the view nor its connection. */
  progress(sidecar: Sidecar, healthySince: number, isSomeProvable: boolean): void {
    const { view, bornAt, world } = sidecar;
    if (world.now <= Math.max(healthySince, bornAt) + provenMs) return;
    const { state, isSynced, isLogLive } = view;
    if (!isLogLive || !isSynced || (isSomeProvable && state !== 'live'))
      throw new Violation(
        'I6',
        `held up at ${world.now.toFixed(0)}, healthy since ${healthySince.toFixed(0)}: ${JSON.stringify({ state, isSynced, isLogLive, unproven: view.unproven() })}`,
      );
  }

  /** A connection is given up, which is wrong in health. */
  gaveUp(sidecar: Sidecar, healthySince: number): void {
    const { now } = sidecar.world;
    if (now > Math.max(healthySince, sidecar.bornAt) + provenMs)
      throw new Violation('I6', `a good connection given up at ${now.toFixed(0)}`);
  }

  /** Everything committed before `complete` is in the view, if a token it names may still be alive. */
  view(sidecar: Sidecar, issuer: Issuer): void {
    const { lifetimeSeconds, clockToleranceSeconds, maxEntries } = this.#bounds;
    if (sidecar.list.size > 2 * maxEntries) throw new Violation('I4', `${sidecar.list.size} entries`);
    // Without its wall clock: that only makes the view think worse of itself.
    const monotonicMs = sidecar.clock.monotonicMs();
    const stalenessMs = sidecar.view.stalenessMs(issuer.name, -Infinity, monotonicMs);
    const now = sidecar.world.now;
    const completeAt = now - stalenessMs;
    for (const { event, committedAt } of issuer.revocations) {
      if (committedAt >= completeAt) continue;
      const isForgotten = now > committedAt + (lifetimeSeconds + clockToleranceSeconds) * 1000;
      if (isForgotten && event.kind !== 'key') continue;
      // A leaked key signs any time: also one the revocation doesn't reach.
      const issuedAt = event.kind === 'key' ? sidecar.clock.nowMs() / 1000 : Math.floor(event.at - 2);
      const token = {
        issuer: event.iss,
        subject: event.kind === 'subject' ? event.id : 'nobody',
        session: event.kind === 'session' ? event.id : 'none',
        tokenId: event.kind === 'token' ? event.id : 'none',
        clientIds: ['none', event.kind === 'client' ? event.id : 'none'],
        keyNames: ['none', event.kind === 'key' ? event.id : 'none'],
        issuedAt,
        expiresAt: issuedAt + 1,
        notes: [],
      };
      if (sidecar.list.find(token) === undefined)
        throw new Violation(
          'I0',
          `${event.kind} ${event.id} committed at ${committedAt.toFixed(0)} unknown, complete to ${completeAt.toFixed(0)} at ${now.toFixed(0)}`,
        );
    }
  }

  #refusals(sidecar: Sidecar): Set<Token> {
    const known = this.#refused.get(sidecar) ?? new Set<Token>();
    this.#refused.set(sidecar, known);
    return known;
  }
}

const describe = (token: Token): string =>
  `${token.isForged ? 'forged ' : ''}${token.issuer} ${token.session ?? ''} iat ${token.issuedAt} read ${token.readAt.toFixed(0)}`;
