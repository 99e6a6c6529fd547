import { isDatabaseUnavailable } from '../../runtime/fault.ts';
import type { Part } from '../../runtime/lifecycle.ts';
import type { Log } from '../../runtime/log.ts';
import { hashOf } from './sealing.ts';
import type { TokenStore } from './token-store.ts';
import type { LostUse, TokenKind } from './stored-tokens.ts';

/**
 * Takes back the uses of tokens by requests that were answered with 503 because the database went away: the client was
 * sent nothing for its token and sends it again. Without this the second use would end its session.
 */
export type UseRecovery = Part & {
  /** To be called before the request is answered. Costs nothing but memory. */
  add(uses: readonly LostUse[]): void;
  /**
   * To be called before a token is looked at: takes its lost use back, if there is one.
   * @throws ERR_DATABASE_UNAVAILABLE
   */
  settle(kind: TokenKind, id: string): Promise<void>;
};

const retryMs = 500;
/** Beyond, a use stays as it is; so many connections are not lost in the middle of a commit. */
const maxUses = 10_000;

export function createUseRecovery(options: UseRecoveryOptions): UseRecovery {
  const lost = new LostUses(options);
  return {
    name: 'use recovery',
    add: (uses) => lost.add(uses),
    settle: (kind, id) => lost.settle(kind, id),
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

  async settle(kind: TokenKind, id: string): Promise<void> {
    if (this.#lost.size === 0) return;
    const hash = hashOf(kind, id);
    const lost = this.#lost.get(hash);
    if (lost !== undefined) await this.#takeBack(hash, lost);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#takeAllBack();
    const { size } = this.#lost;
    if (size > 0) this.#options.log.warn('uses of tokens were not taken back: stopped', { count: size });
    this.#lost.clear();
  }

  async #takeBack(hash: string, lost: LostUse): Promise<void> {
    const work =
      this.#running.get(lost) ??
      this.#options.tokens.takeBack(lost).finally(() => this.#running.delete(lost));
    this.#running.set(lost, work);
    await work;
    this.#forget(hash, lost);
  }

  async #takeAllBack(): Promise<void> {
    for (const [hash, lost] of this.#lost) {
      try {
        await this.#takeBack(hash, lost);
      } catch (thrown) {
        if (isDatabaseUnavailable(thrown)) return;
        const fields = { kind: lost.token.kind, err: thrown };
        this.#options.log.error('the use of a token could not be taken back', fields);
        this.#forget(hash, lost);
      }
    }
  }

  /** The token may have been used and lost again meanwhile. */
  #forget(hash: string, lost: LostUse): void {
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
