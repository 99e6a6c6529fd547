import type { RevocationEvent, RevocationKind } from '../../../src/revocation-log/event.ts';
import type { Revocable } from '../../../src/revocation/revocable.ts';
import type { Database } from './database.ts';
import type { EventForm } from './scenario.ts';
import type { World } from './world.ts';

/** A token, and the truth about it. Times are true time in ms, except for claims. */
export type Token = Revocable & {
  /** When the issuer read the session and found it valid. */
  readonly readAt: number;
  /** When the client gets the token. */
  readonly readyAt: number;
  /** Whether a thief of the key signed it. */
  readonly isForged: boolean;
};

type Session = { readonly id: string; readonly subject: string; readonly client: string };

type Revocation = { readonly event: RevocationEvent; readonly committedAt: number };

export type IssuerOptions = {
  readonly world: World;
  readonly name: string;
  readonly database: Database;
  readonly lifetimeSeconds: number;
  /** The issuer's and its database's clock; ms. */
  nowMs(): number;
  /** Rows were committed. */
  wake(): void;
};

/**
 * Clock skew between the issuer's replicas and its database; ms. With the time of a commit it is below the
 * margin of 2 s.
 */
const skewMs = 400;
const cutOffMarginSeconds = 2;
const keptTokens = 60;

/** An identity provider: sessions, tokens and revocations, and the truth about each token. */
export class Issuer {
  readonly name: string;
  readonly tokens: Token[] = [];
  readonly revocations: Revocation[] = [];
  readonly #options: IssuerOptions;
  readonly #sessions: Session[] = [];
  /** Numbers of the keys. Each key has a kid and a thumbprint. */
  #keys = [0];
  #count = 0;

  constructor(options: IssuerOptions) {
    this.#options = options;
    this.name = options.name;
    for (let index = 0; index < 4; index += 1) this.#login();
  }

  /** A login or a refresh in the order of identity: it sets `iat`, reads the session, and signs. */
  mint(): void {
    const { world, nowMs, lifetimeSeconds } = this.#options;
    if (world.random.chance(0.3)) this.#login();
    const session = world.random.pick(this.#sessions);
    const key = this.#keys.at(-1);
    if (session === undefined || key === undefined) return;
    const issuedAt = Math.floor((nowMs() + world.random.between(-skewMs, skewMs)) / 1000);
    const slowMs = world.random.chance(0.05) ? 9000 : 20;
    const signingMs = world.random.between(0, slowMs);
    world.after(world.random.between(0, slowMs), () => {
      const token = {
        ...this.#claims(session, key, issuedAt, lifetimeSeconds),
        readAt: world.now,
        readyAt: world.now + signingMs,
        isForged: false,
      };
      if (this.revokedSince(token) <= world.now) return;
      this.#keep(token);
    });
  }

  /** A token that a thief of the key signs, with any claims. */
  forge(): void {
    const { world, nowMs } = this.#options;
    const session = world.random.pick(this.#sessions);
    const key = world.random.pick(this.#keys);
    if (session === undefined || key === undefined) return;
    const issuedAt = Math.floor(nowMs() / 1000 + world.random.between(-10, 40));
    const { lifetimeSeconds } = this.#options;
    const claims = this.#claims({ ...session, id: `forged-${this.#count}` }, key, issuedAt, lifetimeSeconds);
    this.#keep({ ...claims, readAt: world.now, readyAt: world.now, isForged: true });
  }

  /**
   * Revokes something: it inserts a row, which gets its id, and commits later. The reason holds the form of
   * the event.
   */
  revoke(kind: RevocationKind, commitMs: number, form: EventForm = 'own'): void {
    const { world, database, nowMs, wake } = this.#options;
    const id = this.#target(kind);
    if (id === undefined) return;
    const margin = kind === 'subject' || kind === 'client' || kind === 'issuer' ? cutOffMarginSeconds : 0;
    const row = database.insert({ iss: this.name, kind, id, at: nowMs() / 1000 + margin, reason: form });
    world.after(commitMs, () => {
      database.commit(row);
      this.revocations.push({ event: row.event, committedAt: world.now });
      wake();
    });
  }

  /** Revokes many sessions at once. */
  flood(count: number): void {
    for (let index = 0; index < count; index += 1) {
      this.#login();
      this.revoke('session', this.#options.world.random.between(0, 300));
    }
  }

  /** True time at which the token was revoked; Infinity if it wasn't. */
  revokedSince(token: Token): number {
    let revokedAt = Infinity;
    for (const { event, committedAt } of this.revocations)
      if (committedAt < revokedAt && names(event, token, committedAt)) revokedAt = committedAt;
    return revokedAt;
  }

  /** True if any event, committed or not, covers the token, so that refusing the token isn't wrong. */
  mayBeRefused(token: Token): boolean {
    return this.#options.database.rows.some(({ event }) => covers(event, token));
  }

  #keep(token: Token): void {
    this.tokens.push(token);
    if (this.tokens.length > keptTokens) this.tokens.shift();
  }

  #login(): void {
    const { random } = this.#options.world;
    this.#count += 1;
    const subject = `subject-${random.below(3)}`;
    const client = `client-${random.below(2)}`;
    this.#sessions.push({ id: `session-${this.#count}`, subject, client });
    if (this.#sessions.length > 12) this.#sessions.shift();
  }

  #claims(session: Session, key: number, issuedAt: number, lifetimeSeconds: number): Revocable {
    this.#count += 1;
    return {
      issuer: this.name,
      subject: session.subject,
      session: session.id,
      tokenId: `token-${this.#count}`,
      // `client_id` and `azp`.
      clientIds: [session.client, `for-${session.client}`],
      keyNames: [`thumbprint-${key}`, `kid-${key}`],
      issuedAt,
      expiresAt: issuedAt + lifetimeSeconds,
    };
  }

  #target(kind: RevocationKind): string | undefined {
    const { random } = this.#options.world;
    switch (kind) {
      case 'session':
        return random.pick(this.#sessions)?.id;
      case 'token':
        return random.pick(this.tokens)?.tokenId;
      case 'subject':
        return `subject-${random.below(3)}`;
      case 'client':
        return `${random.chance(0.5) ? '' : 'for-'}client-${random.below(2)}`;
      case 'issuer':
        return this.name;
      case 'key': {
        const leaked = this.#keys.at(-1);
        if (leaked === undefined) return undefined;
        this.#keys = [...this.#keys, this.#keys.length];
        return `${random.chance(0.5) ? 'thumbprint' : 'kid'}-${leaked}`;
      }
    }
  }
}

/** True if the event names the token, and the issuer made the token before the commit. */
function names(event: RevocationEvent, token: Token, committedAt: number): boolean {
  // A thief of the key writes any claims, so only the revocation of the key counts.
  if (token.isForged) return event.kind === 'key' && token.keyNames.includes(event.id);
  switch (event.kind) {
    case 'session':
      return event.id === token.session;
    case 'token':
      return event.id === token.tokenId;
    case 'key':
      return token.keyNames.includes(event.id);
    case 'subject':
      return event.id === token.subject && isBefore(token, committedAt);
    case 'client':
      return token.clientIds.includes(event.id) && isBefore(token, committedAt);
    case 'issuer':
      return isBefore(token, committedAt);
  }
}

// The times of a forged token can't be trusted.
const isBefore = (token: Token, committedAt: number): boolean =>
  !token.isForged && token.readAt <= committedAt;

function covers(event: RevocationEvent, token: Token): boolean {
  if (event.iss !== token.issuer) return false;
  const isCutOff = Math.floor(token.issuedAt) <= Math.floor(event.at);
  switch (event.kind) {
    case 'session':
      return event.id === token.session;
    case 'token':
      return event.id === token.tokenId;
    case 'key':
      return token.keyNames.includes(event.id);
    case 'subject':
      return event.id === token.subject && isCutOff;
    case 'client':
      return token.clientIds.includes(event.id) && isCutOff;
    case 'issuer':
      return isCutOff;
  }
}
