/** Scheme and user information, hosts, and the rest. A password may not hold `@`, `/`, `?` or `#`, as in any URL. */
const parts = /^(?<before>[a-z]+:\/\/(?:[^/?#@]*@)?)(?<hosts>[^/?#@]*)(?<after>.*)$/is;

/** One URL for each host of a URL in libpq's form, `postgres://user@a:5432,b:5432/name`. */
export function urlsOf(url: string): readonly string[] {
  const { before, hosts, after } = parts.exec(url)?.groups ?? {};
  if (before === undefined || hosts === undefined || after === undefined) return [url];
  return hosts.split(',').map((host) => `${before}${host}${after}`);
}

/** Hosts and database name of a URL, for the log; never a credential. */
export function describeUrl(url: string): string {
  const { hosts, after = '' } = parts.exec(url)?.groups ?? {};
  if (hosts === undefined) return 'postgres';
  return `postgres://${hosts}${after.split(/[?#]/, 1)[0] ?? ''}`;
}
