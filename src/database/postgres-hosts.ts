import pg from 'pg';
import type { Secret } from '../runtime/secret.ts';

/**
 * Scheme and user information, hosts, and the rest. As in any URL, a password can't contain `@`, `/`, `?` or
 * `#`.
 */
const parts = /^(?<before>[a-z]+:\/\/(?:[^/?#@]*@)?)(?<hosts>[^/?#@]*)(?<after>.*)$/is;

/** One URL for each host of a URL in libpq's form, `postgres://user@a:5432,b:5432/name`. */
export function urlsOf(url: string): readonly string[] {
  const { before, hosts, after } = parts.exec(url)?.groups ?? {};
  if (before === undefined || hosts === undefined || after === undefined) return [url];
  return hosts.split(',').map((host) => `${before}${host}${after}`);
}

/** Hosts and database name of a URL, for logs; never a credential. */
export function describeUrl(url: string): string {
  const { hosts, after = '' } = parts.exec(url)?.groups ?? {};
  if (hosts === undefined) return 'postgres';
  return `postgres://${hosts}${after.split(/[?#]/, 1)[0] ?? ''}`;
}

/**
 * Reads a URL at each call. While the new value can't be read or isn't a URL, for example because its file is
 * being replaced, the previous value stays in use. Connections are opened in callbacks, where an error would
 * end the process.
 */
export function lastUsableUrl(url: Pick<Secret, 'text'>): Pick<Secret, 'text'> {
  let last: string | undefined;
  return {
    text: () => {
      try {
        const text = url.text();
        if (last !== undefined && text !== last) requireUsable(text);
        last = text;
      } catch (thrown) {
        if (last === undefined) throw thrown;
      }
      return last;
    },
  };
}

/** A client that never connects parses the URL in the same way as the clients of the pool. */
function requireUsable(url: string): void {
  if (url === '') throw new Error('the URL is empty');
  for (const connectionString of urlsOf(url)) Reflect.construct(pg.Client, [{ connectionString }]);
}
