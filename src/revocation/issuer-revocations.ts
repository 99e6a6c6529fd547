import type { RevocationEvent, RevocationKind } from '../revocation-log/event.ts';
import type { FeedIssuer } from './feed.ts';
import { IdTable } from './id-table.ts';
import type { Revocable, RevocationFinding } from './revocable.ts';

type Finding = Extract<RevocationFinding, { kind: 'revoked' }>;
type Reason = string | undefined;
/** Refuses tokens issued at or before `at`, a whole second. */
type CutOff = { at: number; reason: Reason };

/**
 * An owner records no more than these; see `recordEvents`. Beyond them, every token of the issuer is refused.
 */
const maxStandingKeys = 1000;

/** An event whose entry is evicted in time: all kinds but `key`. */
export type GenerationEvent = RevocationEvent & { readonly kind: Exclude<RevocationKind, 'key'> };

/** Entries that arrived within one period. */
type Generation = {
  readonly session: IdTable;
  readonly token: IdTable;
  readonly subject: Map<string, CutOff>;
  readonly client: Map<string, CutOff>;
  readonly issuer: Map<string, CutOff>;
  newestAt: number;
};

const emptyGeneration = (): Generation => ({
  session: new IdTable(),
  token: new IdTable(),
  subject: new Map(),
  client: new Map(),
  issuer: new Map(),
  newestAt: -Infinity,
});

/** The revocations of one issuer. */
export class IssuerRevocations {
  readonly name: string;
  readonly #clockToleranceSeconds: number;
  readonly #standingKeys = new Map<string, Reason>();
  #current = emptyGeneration();
  #previous = emptyGeneration();
  #floorAt = -Infinity;
  #floorUntilMs = -Infinity;
  #tooManyKeys = false;

  constructor(issuer: FeedIssuer) {
    this.name = issuer.issuer;
    this.#clockToleranceSeconds = issuer.clockToleranceSeconds;
  }

  get hasFloor(): boolean {
    return this.#floorAt > -Infinity || this.#tooManyKeys;
  }

  count(kind: RevocationKind): number {
    if (kind === 'key') return this.#standingKeys.size;
    return this.#current[kind].size + this.#previous[kind].size;
  }

  /**
   * Anyone who has a leaked key can sign any date, so its revocation never expires and has no cut-off.
   * @returns true if new
   */
  addStandingKey({ id, reason }: RevocationEvent): boolean {
    if (this.#standingKeys.has(id)) return false;
    if (this.#standingKeys.size >= maxStandingKeys) this.#tooManyKeys = true;
    else this.#standingKeys.set(id, reason);
    return true;
  }

  currentHas({ kind, id }: GenerationEvent): boolean {
    return this.#current[kind].has(id);
  }

  /** Adds an entry to the current generation. @returns true if an equal or stricter entry was known */
  add({ kind, id, at, reason }: GenerationEvent): boolean {
    const current = this.#current;
    current.newestAt = Math.max(current.newestAt, at);
    if (kind === 'session' || kind === 'token') {
      const isNew = current[kind].set(id, reason);
      return !isNew || this.#previous[kind].has(id);
    }
    const cutOff = Math.floor(at);
    const before = current[kind].get(id);
    const known = Math.max(before?.at ?? -1, this.#previous[kind].get(id)?.at ?? -1) >= cutOff;
    if (before === undefined || before.at < cutOff) current[kind].set(id, { at: cutOff, reason });
    return known;
  }

  nextGeneration(): void {
    this.#previous = this.#current;
    this.#current = emptyGeneration();
  }

  /**
   * Replaces the current entries by a floor. Every token that they refuse was issued before the newest of
   * them, plus the race margin and the clock tolerance. @returns false if there were no entries
   */
  raiseFloor(raceSeconds: number, untilMs: number): boolean {
    const { newestAt } = this.#current;
    if (newestAt === -Infinity) return false;
    this.#floorAt = Math.max(this.#floorAt, newestAt + raceSeconds + this.#clockToleranceSeconds);
    this.#floorUntilMs = Math.max(this.#floorUntilMs, untilMs);
    this.#current = emptyGeneration();
    return true;
  }

  dropFloor(monotonicMs: number): void {
    if (monotonicMs < this.#floorUntilMs) return;
    this.#floorAt = -Infinity;
    this.#floorUntilMs = -Infinity;
  }

  find(token: Revocable): Finding | undefined {
    for (const name of token.keyNames)
      if (this.#standingKeys.has(name)) return revoked('key', this.#standingKeys.get(name));
    if (this.#tooManyKeys || token.issuedAt <= this.#floorAt) return revoked('floor', undefined);
    return findIn(this.#current, token) ?? findIn(this.#previous, token);
  }
}

function findIn(entries: Generation, token: Revocable): Finding | undefined {
  const { session, tokenId } = token;
  if (session !== undefined && entries.session.has(session))
    return revoked('session', entries.session.reasonOf(session));
  if (tokenId !== undefined && entries.token.has(tokenId))
    return revoked('token', entries.token.reasonOf(tokenId));
  // Most issuers write `iat` in whole seconds, and a token of the same second as the cut-off must be refused.
  const issuedAt = Math.floor(token.issuedAt);
  return (
    cutOff('issuer', entries.issuer.get(token.issuer), issuedAt) ??
    cutOff('subject', entries.subject.get(token.subject), issuedAt) ??
    clientCutOff(entries, token, issuedAt)
  );
}

function clientCutOff(entries: Generation, { clientIds }: Revocable, issuedAt: number): Finding | undefined {
  for (const id of clientIds) {
    const found = cutOff('client', entries.client.get(id), issuedAt);
    if (found !== undefined) return found;
  }
  return undefined;
}

const cutOff = (by: RevocationKind, found: CutOff | undefined, issuedAt: number): Finding | undefined =>
  found !== undefined && issuedAt <= found.at ? revoked(by, found.reason) : undefined;

const revoked = (by: RevocationKind | 'floor', reason: Reason): Finding => ({ kind: 'revoked', by, reason });
