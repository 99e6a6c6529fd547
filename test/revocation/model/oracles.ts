import type { Issuer, Token } from './issuer.ts';
import type { Sidecar } from './sidecar.ts';

/** The limits that the invariants check. */
export type Bounds = {
  readonly maxExposureMs: number;
  readonly clockToleranceSeconds: number;
  readonly lifetimeSeconds: number;
  readonly maxEntries: number;
};

/** A revocation takes effect within this time after a recovery; ms. */
const recoveredMs = 6000;
/** A revocation takes effect within this time while there are no faults; ms. */
const healthyMs = 2000;
/** After this time without faults, a view is proven complete all the time; ms. */
const provenMs = 8000;

/** A violated invariant. */
export class Violation extends Error {
  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
    this.name = 'Violation';
  }
}

/** Checks the invariants on the decisions of sidecars. */
export class Oracles {
  readonly #bounds: Bounds;
  /** The revoked tokens that a sidecar has refused. */
  readonly #refused = new WeakMap<Sidecar, Set<Token>>();

  constructor(bounds: Bounds) {
    this.#bounds = bounds;
  }

  /**
   * Checks a request with a token.
   * @param healthySince true time at which the last fault ended
   * @param provableSince true time since which the log can prove the issuer; Infinity if it can't
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
    // `token` refuses expired tokens.
    if (token.expiresAt <= nowMs / 1000) return;
    const finding = sidecar.revocations.evaluate(token, { maxExposureMs, clockToleranceSeconds }, nowMs);
    const revokedAt = issuer.revokedSince(token);
    const what = `${describe(token)} at ${now.toFixed(0)}, revoked at ${revokedAt.toFixed(0)}: ${JSON.stringify(finding)}`;
    if (finding.kind === 'clear') {
      if (token.issuedAt > nowMs / 1000 + clockToleranceSeconds)
        throw new Violation('I1', `from the future: ${what}`);
      if (!token.isForged && now > revokedAt + maxExposureMs + clockToleranceSeconds * 1000)
        throw new Violation('I1', `accepted too late: ${what}`);
      if (this.#refusals(sidecar).has(token)) throw new Violation('I3', `resurrected: ${what}`);
      const promptBy = Math.max(revokedAt + healthyMs, Math.max(healthySince, sidecar.bornAt) + recoveredMs);
      if (now > Math.max(promptBy, provableSince))
        throw new Violation('I2', `not prompt (healthy since ${healthySince.toFixed(0)}): ${what}`);
    }
    if (finding.kind === 'revoked') {
      if (revokedAt <= now) this.#refusals(sidecar).add(token);
      // An issuer without revocations can't have a floor.
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

  /** Without faults, an issuer without a proof keeps neither the view nor its connection from being live. */
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

  /** A sidecar closed its connection, which is wrong without faults. */
  gaveUp(sidecar: Sidecar, healthySince: number): void {
    const { now } = sidecar.world;
    if (now > Math.max(healthySince, sidecar.bornAt) + provenMs)
      throw new Violation('I6', `a good connection given up at ${now.toFixed(0)}`);
  }

  /**
   * Checks that the view has everything that was committed before its completeness, if a revoked token may be
   * alive.
   */
  view(sidecar: Sidecar, issuer: Issuer): void {
    const { lifetimeSeconds, clockToleranceSeconds, maxEntries } = this.#bounds;
    if (sidecar.list.size > 2 * maxEntries) throw new Violation('I4', `${sidecar.list.size} entries`);
    // The wall clock is left out: it can only make the view look staler.
    const monotonicMs = sidecar.clock.monotonicMs();
    const stalenessMs = sidecar.view.stalenessMs(issuer.name, -Infinity, monotonicMs);
    const now = sidecar.world.now;
    const completeAt = now - stalenessMs;
    for (const { event, committedAt } of issuer.revocations) {
      if (committedAt >= completeAt) continue;
      const isExpired = now > committedAt + (lifetimeSeconds + clockToleranceSeconds) * 1000;
      if (isExpired && event.kind !== 'key') continue;
      // A thief with a leaked key signs any date.
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
