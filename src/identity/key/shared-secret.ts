import { Fault } from '../../runtime/fault.ts';
import type { Log } from '../../runtime/log.ts';
import { secretFromFile, watchSecret } from '../../runtime/secret.ts';

export type SharedSigningSecretOptions = {
  file: string;
  encoding: 'base64url' | 'raw';
  log: Log;
};

/** The key of HS256 access tokens. It is reloaded when its file changes. */
export type SharedSigningSecret = {
  current(): Buffer;
  /** Stops watching the file. */
  close(): void;
};

/** RFC 7518 §3.2: a key must be at least as long as the hash. */
const minBytes = 32;

/** @throws ERR_SECRET_UNREADABLE when the file is missing or its key is too short */
export function openSharedSecret({ file, encoding, log }: SharedSigningSecretOptions): SharedSigningSecret {
  const secret = secretFromFile(file);
  const read = (): Buffer => {
    const bytes = encoding === 'raw' ? secret.bytes() : Buffer.from(secret.text().trim(), 'base64url');
    if (bytes.length >= minBytes) return bytes;
    throw new Fault(
      'ERR_SECRET_UNREADABLE',
      `${file} contains a key of ${bytes.length} bytes; HS256 needs at least ${minBytes}`,
    );
  };
  let key = read();
  const close = watchSecret(secret, () => {
    try {
      key = read();
      log.info('secret reloaded', { file });
    } catch (thrown) {
      log.error('secret not reloaded; still using the previous one', { err: thrown });
    }
  });
  return { current: () => key, close };
}
