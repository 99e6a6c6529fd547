import { setTimeout } from 'node:timers/promises';
import { describeError } from '../../src/runtime/log.ts';
import { loginGrantType, password } from './identity-program.ts';

/** What clients observe that log in once and then refresh continuously. */
export type LoadReport = {
  readonly answers: Readonly<Record<string, number>>;
  /** The number of sessions that a client lost. */
  readonly lost: number;
  /** Answers that are neither tokens nor 503 with `Retry-After` and OAuth's error. */
  readonly strange: readonly string[];
  /** The longest time that no client at all got a token; ms. */
  readonly worstGapMs: number;
};

export type Load = { end(): Promise<LoadReport> };

const clients = 8;
/** Shorter than `Retry-After`, to find faults that a patient client would not see. */
const retryMs = 100;

export async function startLoad(issuer: string, username: string): Promise<Load> {
  const answers: Record<string, number> = {};
  const strange: string[] = [];
  let lost = 0;
  const over = new AbortController();
  let worstGapMs = 0;
  let lastMs = performance.now();

  async function send(fields: Record<string, string>): Promise<{ status: number; refresh: string }> {
    const body = new URLSearchParams({ client_id: 'cli', ...fields });
    const response = await fetch(`${issuer}/token`, { method: 'POST', body });
    const json = (await response.json()) as { refresh_token?: string; error?: string };
    const { status } = response;
    answers[status] = (answers[status] ?? 0) + 1;
    const isKnown =
      status === 200 ||
      (status === 503 && response.headers.has('retry-after') && json.error === 'temporarily_unavailable');
    if (!isKnown) strange.push(`${status} ${json.error ?? ''}`);
    return { status, refresh: json.refresh_token ?? '' };
  }

  function succeeded(): void {
    worstGapMs = Math.max(worstGapMs, performance.now() - lastMs);
    lastMs = performance.now();
  }

  async function act(begun: () => void): Promise<void> {
    const login = { grant_type: loginGrantType, username, password };
    let token: string | undefined;
    while (!over.signal.aborted) {
      const fields = token === undefined ? login : { grant_type: 'refresh_token', refresh_token: token };
      try {
        const { status, refresh } = await send(fields);
        if (status === 200) {
          succeeded();
          token = refresh;
          begun();
          continue;
        }
        if (status === 400 && token !== undefined) {
          lost += 1;
          token = undefined;
        }
      } catch (thrown) {
        const { message, cause } = describeError(thrown);
        strange.push(cause ?? message);
      }
      await setTimeout(retryMs);
    }
  }

  const begun = Array.from({ length: clients }, () => Promise.withResolvers<void>());
  const acting = begun.map(({ resolve }) => act(resolve));
  await Promise.all(begun.map(({ promise }) => promise));
  worstGapMs = 0;
  lastMs = performance.now();
  return {
    end: async () => {
      over.abort();
      await Promise.all(acting);
      succeeded();
      return { answers, lost, strange, worstGapMs };
    },
  };
}
