import { watchSecret, type Secret } from '../runtime/secret.ts';
import type { Log } from '../runtime/log.ts';

/** Secrets as they are used, read again within seconds of a change. */
export type WatchedSecrets<Value> = {
  /** Empty before the start. */
  readonly current: readonly Value[];
  /** @throws what `read` throws */
  start(): void;
  stop(): void;
};

/** @param options.read what is used of a secret; when it throws later, the former values stay */
export function watchSecrets<Value>(options: {
  readonly secrets: readonly Secret[];
  readonly read: (secret: Secret) => Value;
  /** Whose they are, for the log. */
  readonly path: string;
  readonly log: Log;
}): WatchedSecrets<Value> {
  const { secrets, read, path, log } = options;
  let current: readonly Value[] = [];
  let stops: readonly (() => void)[] = [];

  function reload(): void {
    try {
      current = secrets.map(read);
      log.info('secret read again', { route: path });
    } catch (thrown) {
      log.error('the changed secret is not usable; the former stays in use', { route: path, err: thrown });
    }
  }

  return {
    get current() {
      return current;
    },
    start: () => {
      current = secrets.map(read);
      stops = secrets.map((secret) => watchSecret(secret, reload));
    },
    stop: () => {
      for (const stop of stops) stop();
    },
  };
}
