import { isDatabaseUnavailable } from '../../runtime/fault.ts';
import type { Part } from '../../runtime/lifecycle.ts';
import type { Log } from '../../runtime/log.ts';
import { hashOf } from './sealing.ts';
import type { TokenStore } from './token-store.ts';
import type { LostUse, TokenKind } from './stored-tokens.ts';

/**
 * Undoes the uses of tokens by requests that were answered with 503 because the database became unavailable.
 * The client received nothing for its token and will send it again; without this, the second use would end
 * its session.
 */
export type UseRecovery = Part & {
  /** Call before the request is answered. Cost: memory only. */
  add(uses: readonly LostUse[]): void;
  /**
   * Call before a token is read: undoes its lost use, if there is one.
   * @throws ERR_DATABASE_UNAVAILABLE
   */
  recover(kind: TokenKind, id: string): Promise<void>;
};

const retryMs = 500;
/**
 * Most uses to undo. Further ones are not undone, but so many requests are never in the middle of a commit.
 */
const maxUses = 10_000;

export function createUseRecovery(options: UseRecoveryOptions): UseRecovery {
  const lost = new LostUses(options);
  return {
    name: 'use recovery',
    add: (uses) => lost.add(uses),
    recover: (kind, id) => lost.recover(kind, id),
    start: () => undefined,
    stop: () => lost.stop(),
  };
}

type UseRecoveryOptions = { tokens: Pick<TokenStore, 'takeBack'>; log: Log };

class LostUses {
  readonly #options: UseRecoveryOptions;
  readonly #lost = new Map<string, LostUse>();
  readonly #running = new Map<LostUse, Promise<void>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: UseRecoveryOptions) {
    this.#options = options;
  }

  add(uses: readonly LostUse[]): void {
    for (const lost of uses)
      if (lost.use.isMarked === true && this.#lost.size < maxUses)
        this.#lost.set(hashOf(lost.token.kind, lost.token.id), lost);
    this.#retryLater();
  }

  async recover(kind: TokenKind, id: string): Promise<void> {
    if (this.#lost.size === 0) return;
    const hash = hashOf(kind, id);
    const lost = this.#lost.get(hash);
    if (lost !== undefined) await this.#takeBack(hash, lost);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#takeAllBack();
    const { size } = this.#lost;
    if (size > 0)
      this.#options.log.warn('stopped before all lost uses of tokens were undone', { count: size });
    this.#lost.clear();
  }

  async #takeBack(hash: string, lost: LostUse): Promise<void> {
    const work =
      this.#running.get(lost) ??
      this.#options.tokens.takeBack(lost).finally(() => this.#running.delete(lost));
    this.#running.set(lost, work);
    await work;
    this.#remove(hash, lost);
  }

  async #takeAllBack(): Promise<void> {
    for (const [hash, lost] of this.#lost) {
      try {
        await this.#takeBack(hash, lost);
      } catch (thrown) {
        if (isDatabaseUnavailable(thrown)) return;
        const fields = { kind: lost.token.kind, err: thrown };
        this.#options.log.error('could not undo the use of a token', fields);
        this.#remove(hash, lost);
      }
    }
  }

  /** Removes this use only: the token may have been used and lost again meanwhile. */
  #remove(hash: string, lost: LostUse): void {
    if (this.#lost.get(hash) === lost) this.#lost.delete(hash);
  }

  #retryLater(): void {
    if (this.#timer !== undefined || this.#lost.size === 0) return;
    this.#timer = setTimeout(() => {
      void this.#takeAllBack().then(() => {
        this.#timer = undefined;
        this.#retryLater();
      });
    }, retryMs);
    this.#timer.unref();
  }
}
