import { watchSecret, type Secret } from '../runtime/secret.ts';
import type { Log } from '../runtime/log.ts';

/** Secrets in the form in which they are used. They are reloaded within seconds of a change. */
export type WatchedSecrets<Value> = {
  /** Empty before the start. */
  readonly current: readonly Value[];
  /** @throws what `read` throws */
  start(): void;
  stop(): void;
};

/** @param options.read converts a secret. If it throws on a reload, the previous values stay in use */
export function watchSecrets<Value>(options: {
  readonly secrets: readonly Secret[];
  readonly read: (secret: Secret) => Value;
  /** The path of the receiver, for the log. */
  readonly path: string;
  readonly log: Log;
}): WatchedSecrets<Value> {
  const { secrets, read, path, log } = options;
  let current: readonly Value[] = [];
  let stops: readonly (() => void)[] = [];

  function reload(): void {
    try {
      current = secrets.map(read);
      log.info('reloaded secret', { route: path });
    } catch (thrown) {
      log.error('cannot reload secret: the previous one stays in use', { route: path, err: thrown });
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
