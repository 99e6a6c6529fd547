import { readFileSync, statSync } from 'node:fs';
import { inspect } from 'node:util';
import { Fault } from './fault.ts';
import { describeError } from './log.ts';

const maxSecretBytes = 64 * 1024;

/** A secret value, and where it comes from. It always prints as `[secret]`. */
export type Secret = {
  /** The origin, for messages: a path, or `configuration`. */
  readonly source: string;
  /**
   * The current bytes without a trailing line end. Each call reads the file.
   * @throws ERR_SECRET_UNREADABLE
   */
  bytes(): Buffer;
  /** As `bytes`, in UTF-8. */
  text(): string;
  /** Changes with the file's modification time, size or inode. Constant for an inline secret. */
  version(): string;
  toJSON(): string;
};

const masked = { toJSON: () => '[secret]', toString: () => '[secret]', [inspect.custom]: () => '[secret]' };

export function secretFromText(text: string): Secret {
  return {
    ...masked,
    source: 'configuration',
    bytes: () => Buffer.from(text),
    text: () => text,
    version: () => 'fixed',
  };
}

export function secretFromFile(path: string): Secret {
  const bytes = (): Buffer => {
    try {
      if (statSync(path).size > maxSecretBytes)
        throw new Fault('ERR_SECRET_UNREADABLE', `${path} is larger than 64 KiB`);
      return withoutLineEnd(readFileSync(path));
    } catch (thrown) {
      if (thrown instanceof Fault) throw thrown;
      throw new Fault('ERR_SECRET_UNREADABLE', `cannot read ${path}: ${describeError(thrown).message}`);
    }
  };
  return {
    ...masked,
    source: path,
    bytes,
    text: () => bytes().toString('utf8'),
    version: () => fileVersion(path),
  };
}

function fileVersion(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? 'missing' : `${stat.mtimeMs}:${stat.size}:${stat.ino}`;
}

function withoutLineEnd(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== 0x0a) return bytes;
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1);
}

/**
 * Calls `onChange` within `everyMs` after the secret's file has changed.
 * @returns a function that stops watching
 */
export function watchSecret(
  secret: Pick<Secret, 'version'>,
  onChange: () => void,
  everyMs = 5000,
): () => void {
  let seen = secret.version();
  const timer = setInterval(() => {
    const now = secret.version();
    if (now === seen) return;
    seen = now;
    onChange();
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
