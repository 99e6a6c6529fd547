import { describeError, type Log } from '../runtime/log.ts';
import { createKeyRing, findKey, type KeyRing, type VerificationKey } from './key-lookup.ts';
import type { KeySet, KeySetState } from './key-set.ts';

/** Keys in a local file. */
export type LocalKeys = {
  /** The file, for messages. */
  readonly source: string;
  /** Changes when the file does. */
  version(): string;
  /** @throws a fault that says what is wrong with the file */
  read(): readonly VerificationKey[];
};

const defaultWatchEveryMs = 5000;

/**
 * Keys from a file, which is read again within `watchEveryMs` of a change. If the changed file can't be used,
 * the previous keys stay in use without a time limit: a local file does not become stale. At start the file
 * must be valid.
 * @param options.watchEveryMs default 5000
 * @throws from `start`: what `read` throws
 */
export function createLocalKeySet(options: {
  readonly issuer: string;
  readonly keys: LocalKeys;
  readonly log: Log;
  readonly watchEveryMs?: number | undefined;
}): KeySet {
  const { issuer, keys, log } = options;
  let ring: KeyRing | undefined;
  let version = '';
  let problem: string | undefined;
  let timer: NodeJS.Timeout | undefined;

  function load(): void {
    version = keys.version();
    ring = createKeyRing(keys.read(), ring);
    problem = undefined;
  }

  function reload(): void {
    // A failed read is repeated: the file may have been half written.
    if (keys.version() === version && problem === undefined) return;
    try {
      load();
      log.info('keys reloaded', { issuer, file: keys.source, count: ring?.keys.size ?? 0 });
    } catch (thrown) {
      const message = describeError(thrown).message;
      if (message !== problem)
        log.error('keys could not be reloaded; the previous keys stay in use', { issuer, err: thrown });
      problem = message;
    }
  }

  const find: KeySet['find'] = (kid, algorithm) =>
    ring === undefined ? { kind: 'unavailable' } : findKey(ring, kid, algorithm);

  return {
    find,
    vouchesFor: (key) => ring?.keys.has(key) === true,
    isUsable: () => ring !== undefined,
    refreshForUnknownKey: () => undefined,
    findNewer: (kid, algorithm) => {
      // Only a changed file is read here. Reading an invalid one again for every unknown key would cost too
      // much.
      if (keys.version() !== version) reload();
      return Promise.resolve(find(kid, algorithm));
    },
    state: () => stateOf(ring, problem),
    start: () =>
      new Promise((resolve) => {
        load();
        timer = setInterval(reload, options.watchEveryMs ?? defaultWatchEveryMs).unref();
        resolve();
      }),
    stop: () => clearInterval(timer),
  };
}

const stateOf = (ring: KeyRing | undefined, problem: string | undefined): KeySetState => ({
  state: ring === undefined ? 'loading' : problem === undefined ? 'fresh' : 'stale',
  keys: ring?.keys.size ?? 0,
  ageSeconds: undefined,
  problem,
});
