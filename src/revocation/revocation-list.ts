import { revocationKinds, type RevocationEvent, type RevocationKind } from '../revocation-log/event.ts';
import { raceSeconds } from '../revocation-log/race.ts';
import type { FeedIssuer } from './feed.ts';
import { IssuerRevocations, type GenerationEvent } from './issuer-revocations.ts';
import type { Revocable, RevocationFinding } from './revocable.ts';

export type RevocationListOptions = {
  readonly issuers: readonly FeedIssuer[];
  /** Largest number of entries in each of the two generations. */
  readonly maxEntries: number;
  /** Called with the issuers whose entries were replaced by a floor. */
  readonly onOverflow?: (issuers: readonly string[]) => void;
};

/** `other_issuer`: the event is of an issuer whose tokens this process doesn't evaluate. */
export type Applied = 'applied' | 'duplicate' | 'other_issuer';

/** How much longer than the log's retention an entry stays; seconds. */
const spareSeconds = 7;

/**
 * The revocations that are known. Entries are added to the current generation. At the end of each period the
 * previous generation is evicted and the current one becomes the previous. An entry therefore stays for at
 * least one period and at most two, and it doesn't matter if events come twice or out of order. Look-ups that
 * find nothing allocate nothing.
 */
export class RevocationList {
  readonly #issuers: ReadonlyMap<string, IssuerRevocations>;
  readonly #options: RevocationListOptions;
  readonly #maxToleranceSeconds: number;
  #currentSize = 0;
  #previousSize = 0;
  #periodMs = 0;
  #swappedAtMs = 0;
  /** Replaced by each event, since it may revoke a token that nothing revoked before. */
  #version: object = {};

  constructor(options: RevocationListOptions) {
    this.#options = options;
    this.#issuers = new Map(options.issuers.map((issuer) => [issuer.issuer, new IssuerRevocations(issuer)]));
    this.#maxToleranceSeconds = Math.max(0, ...options.issuers.map((issuer) => issuer.clockToleranceSeconds));
  }

  /** Sets how long the log keeps entries. Call before applying its entries. */
  retain(retentionSeconds: number, monotonicMs: number): void {
    if (this.#periodMs === 0) this.#swappedAtMs = monotonicMs;
    this.#periodMs = (retentionSeconds + spareSeconds + 2 * this.#maxToleranceSeconds) * 1000;
  }

  apply(event: RevocationEvent, monotonicMs: number): Applied {
    const issuer = this.#issuers.get(event.iss);
    if (issuer === undefined) return 'other_issuer';
    this.#version = {};
    if (!isForgettable(event)) return issuer.addStandingKey(event) ? 'applied' : 'duplicate';
    const isNew = !issuer.currentHas(event);
    if (isNew && this.#currentSize >= this.#options.maxEntries) this.#overflow(monotonicMs);
    const known = issuer.add(event);
    if (isNew) this.#currentSize += 1;
    return known ? 'duplicate' : 'applied';
  }

  /**
   * Evicts the previous generation when its period is over. Call about once a second; a late call keeps
   * entries longer.
   */
  tick(monotonicMs: number): void {
    for (const issuer of this.#issuers.values()) issuer.dropFloor(monotonicMs);
    if (this.#periodMs === 0 || monotonicMs - this.#swappedAtMs < this.#periodMs) return;
    for (const issuer of this.#issuers.values()) issuer.nextGeneration();
    this.#previousSize = this.#currentSize;
    this.#currentSize = 0;
    this.#swappedAtMs = monotonicMs;
  }

  /**
   * The revocation of the token, or undefined. Tokens of unknown issuers are never revoked; they are refused
   * elsewhere. Cost: one comparison for a token object that was looked up since the last event. The object
   * must not change.
   */
  find(token: Revocable): Extract<RevocationFinding, { kind: 'revoked' }> | undefined {
    if (token.clearAt === this.#version) return undefined;
    const found = this.#issuers.get(token.issuer)?.find(token);
    if (found === undefined) token.clearAt = this.#version;
    return found;
  }

  /** Number of entries in both generations, without standing keys, of which each issuer has at most 1000. */
  get size(): number {
    return this.#currentSize + this.#previousSize;
  }

  /** Number of entries by kind. Cost: a few additions for each issuer. */
  counts(): Record<RevocationKind, number> {
    const counts = { session: 0, token: 0, subject: 0, client: 0, issuer: 0, key: 0 };
    for (const issuer of this.#issuers.values())
      for (const kind of revocationKinds) counts[kind] += issuer.count(kind);
    return counts;
  }

  /** Issuers whose older tokens are all refused, because there were more revocations than `maxEntries`. */
  floors(): string[] {
    return [...this.#issuers.values()].filter(({ hasFloor }) => hasFloor).map(({ name }) => name);
  }

  #overflow(monotonicMs: number): void {
    const flooded: string[] = [];
    for (const issuer of this.#issuers.values())
      if (issuer.raiseFloor(raceSeconds, monotonicMs + this.#periodMs)) flooded.push(issuer.name);
    this.#currentSize = 0;
    this.#options.onOverflow?.(flooded);
  }
}

const isForgettable = (event: RevocationEvent): event is GenerationEvent => event.kind !== 'key';
