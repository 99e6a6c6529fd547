import type { RevocationEvent, RevocationKind } from '../../../src/revocation-log/event.ts';
import type { Revocable } from '../../../src/revocation/revocable.ts';
import type { Database } from './database.ts';
import type { EventForm } from './scenario.ts';
import type { World } from './world.ts';

/** A token, and what is true of it. Times are true time in ms unless they are claims. */
export type Token = Revocable & {
  /** When the family was read and found alive. */
  readonly readAt: number;
  /** When the client has it. */
  readonly readyAt: number;
  /** Signed by someone who stole the key. */
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

/** Skew of the issuer's replicas against their database; ms. With the time to commit it stays below the margin of 2 s. */
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
  /** By number: each has a kid and a thumbprint. */
  #keys = [0];
  #count = 0;

  constructor(options: IssuerOptions) {
    this.#options = options;
    this.name = options.name;
    for (let index = 0; index < 4; index += 1) this.#login();
  }

  /** A login or a refresh, as it goes in identity: `iat` first, then the family, then the signature. */
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
      if (this.deadSince(token) <= world.now) return;
      this.#keep(token);
    });
  }

  /** A token by someone who has the key and writes what he likes. */
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

  /** Revokes something: a row, an id of the database, and some time later the commit. The reason says how it is written. */
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

  /** Many sessions at once. */
  flood(count: number): void {
    for (let index = 0; index < count; index += 1) {
      this.#login();
      this.revoke('session', this.#options.world.random.between(0, 300));
    }
  }

  /** When the token was revoked; Infinity if it wasn't. */
  deadSince(token: Token): number {
    let dead = Infinity;
    for (const { event, committedAt } of this.revocations)
      if (committedAt < dead && names(event, token, committedAt)) dead = committedAt;
    return dead;
  }

  /** True if some event, committed or not, says that this token is to be refused: then refusing it isn't wrong. */
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
      notes: [],
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

/** True if the event means the token: it names it, and the token was made before the commit. */
function names(event: RevocationEvent, token: Token, committedAt: number): boolean {
  // Someone who has the key writes what he likes: only revoking the key helps.
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

// A forged token says nothing true about when it was made.
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
