import { Note } from '../runtime/memo-slots.ts';
import { revocationKinds, type RevocationEvent, type RevocationKind } from '../revocation-log/event.ts';
import { raceSeconds } from '../revocation-log/race.ts';
import type { FeedIssuer } from './feed.ts';
import { IssuerRevocations, type GenerationEvent } from './issuer-revocations.ts';
import type { Revocable, RevocationFinding } from './revocable.ts';

export type RevocationListOptions = {
  readonly issuers: readonly FeedIssuer[];
  /** Entries at most in each of the two generations. */
  readonly maxEntries: number;
  /** Told when entries became floors. */
  readonly onOverflow?: (issuers: readonly string[]) => void;
};

/** `other_issuer`: of an issuer whose tokens aren't judged here. */
export type Applied = 'applied' | 'duplicate' | 'other_issuer';

/** By how much an entry outlives the log's retention; seconds. */
const spareSeconds = 7;

/**
 * What is revoked. It only grows, and forgets by generations: entries are added to the current one, and once in a
 * while the previous one is dropped and the current one takes its place. So an entry stays at least one period and at
 * most two, and duplicates and disorder are harmless. Look-ups allocate nothing unless something is found.
 */
export class RevocationList {
  readonly #issuers: ReadonlyMap<string, IssuerRevocations>;
  readonly #options: RevocationListOptions;
  readonly #maxToleranceSeconds: number;
  #currentSize = 0;
  #previousSize = 0;
  #periodMs = 0;
  #swappedAtMs = 0;
  /** Raised by whatever may name a token that nothing named before. */
  #version = 0;
  /** For tokens asked about before: the version at which nothing named them. */
  readonly #clearAt = new Note<number>();

  constructor(options: RevocationListOptions) {
    this.#options = options;
    this.#issuers = new Map(options.issuers.map((issuer) => [issuer.issuer, new IssuerRevocations(issuer)]));
    this.#maxToleranceSeconds = Math.max(0, ...options.issuers.map((issuer) => issuer.clockToleranceSeconds));
  }

  /** Sets how long the log remembers. Call before applying its entries. */
  retain(retentionSeconds: number, monotonicMs: number): void {
    if (this.#periodMs === 0) this.#swappedAtMs = monotonicMs;
    this.#periodMs = (retentionSeconds + spareSeconds + 2 * this.#maxToleranceSeconds) * 1000;
  }

  apply(event: RevocationEvent, monotonicMs: number): Applied {
    const issuer = this.#issuers.get(event.iss);
    if (issuer === undefined) return 'other_issuer';
    this.#version += 1;
    if (!isForgettable(event)) return issuer.addStandingKey(event) ? 'applied' : 'duplicate';
    const isNew = !issuer.currentHas(event);
    if (isNew && this.#currentSize >= this.#options.maxEntries) this.#overflow(monotonicMs);
    const known = issuer.add(event);
    if (isNew) this.#currentSize += 1;
    return known ? 'duplicate' : 'applied';
  }

  /** Drops what is old enough. Call about once a second; being late only keeps entries longer. */
  tick(monotonicMs: number): void {
    for (const issuer of this.#issuers.values()) issuer.dropFloor(monotonicMs);
    if (this.#periodMs === 0 || monotonicMs - this.#swappedAtMs < this.#periodMs) return;
    for (const issuer of this.#issuers.values()) issuer.nextGeneration();
    this.#previousSize = this.#currentSize;
    this.#currentSize = 0;
    this.#swappedAtMs = monotonicMs;
  }

  /**
   * What revokes the token, or undefined. An unknown issuer has no revocations: its tokens aren't judged here.
   * Cost: next to none for an object asked about since the last event, which must not have changed.
   */
  find(token: Revocable): Extract<RevocationFinding, { kind: 'revoked' }> | undefined {
    if (this.#clearAt.get(token) === this.#version) return undefined;
    const found = this.#issuers.get(token.issuer)?.find(token);
    if (found === undefined) this.#clearAt.set(token, this.#version);
    return found;
  }

  /** Entries in both generations; standing keys come on top, at most 1000 an issuer. */
  get size(): number {
    return this.#currentSize + this.#previousSize;
  }

  /** Entries by kind. Cost: a few additions for each issuer. */
  counts(): Record<RevocationKind, number> {
    const counts = { session: 0, token: 0, subject: 0, client: 0, issuer: 0, key: 0 };
    for (const issuer of this.#issuers.values())
      for (const kind of revocationKinds) counts[kind] += issuer.count(kind);
    return counts;
  }

  /** Issuers all of whose older tokens are refused, because more was revoked than could be held. */
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
