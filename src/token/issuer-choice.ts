import { reject, type Rejected } from './rejection.ts';

/** Finds an issuer by `iss`, compared byte for byte (RFC 8725 §3.8). */
export type IssuerChoice<Issuer> = (iss: unknown) => Issuer | Rejected;

export function createIssuerChoice<Issuer extends { rules: { issuer: string } }>(
  issuers: readonly Issuer[],
): IssuerChoice<Issuer> {
  const byName = new Map(issuers.map((issuer) => [issuer.rules.issuer, issuer]));
  const names = [...byName.keys()].map((name) => ({ name, loose: loose(name) }));
  return (iss) => {
    if (iss === undefined)
      return reject('missing_claim', { claim: 'iss', expected: 'present', found: 'absent' });
    if (typeof iss !== 'string')
      return reject('malformed_token', { claim: 'iss', expected: 'a text', found: `a ${typeof iss}` });
    return byName.get(iss) ?? reject('unknown_issuer', explainUnknown(iss, names));
  };
}

// The most common misconfigurations: a slash at the end, http for https, another case, a default port.
function explainUnknown(iss: string, names: readonly { name: string; loose: string }[]) {
  const looseIss = iss.length > 2048 ? undefined : loose(iss);
  const nearMiss = names.find((known) => known.loose === looseIss)?.name;
  const expected =
    nearMiss === undefined ? names.map(({ name }) => name).join(' ') : `${nearMiss} (byte for byte)`;
  return { claim: 'iss', expected, found: iss };
}

const loose = (name: string): string =>
  withoutSlashes(
    name
      .trim()
      .toLowerCase()
      .replace(/^https?:\/\//, '')
      .replace(/:(?:443|80)(?=\/|$)/, ''),
  );

// Not `/\/+$/`, which takes quadratic time for slashes in the middle, and any client can send an `iss`.
function withoutSlashes(text: string): string {
  let end = text.length;
  while (text[end - 1] === '/') end -= 1;
  return text.slice(0, end);
}
