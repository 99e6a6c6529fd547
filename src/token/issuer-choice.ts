import { reject, type Rejected } from './rejection.ts';

/** Picks what belongs to an issuer by `iss`, byte for byte (RFC 8725 §3.8). */
export type IssuerChoice<Issuer> = (iss: unknown) => Issuer | Rejected;

export function createIssuerChoice<Issuer extends { rules: { issuer: string } }>(
  issuers: readonly Issuer[],
): IssuerChoice<Issuer> {
  const byName = new Map(issuers.map((issuer) => [issuer.rules.issuer, issuer]));
  const names = [...byName.keys()];
  return (iss) => {
    if (iss === undefined)
      return reject('missing_claim', { claim: 'iss', expected: 'present', found: 'absent' });
    if (typeof iss !== 'string')
      return reject('malformed_token', { claim: 'iss', expected: 'a text', found: `a ${typeof iss}` });
    return byName.get(iss) ?? reject('unknown_issuer', explainUnknown(iss, names));
  };
}

// The commonest misconfigurations: a slash at the end, http for https, another case, a default port.
function explainUnknown(iss: string, names: readonly string[]) {
  const nearMiss = iss.length > 2048 ? undefined : names.find((name) => loose(name) === loose(iss));
  const expected = nearMiss === undefined ? names.join(' ') : `${nearMiss} (byte for byte)`;
  return { claim: 'iss', expected, found: iss };
}

const loose = (name: string): string =>
  name
    .trim()
    .toLowerCase()
    .replace(/^https?:\/\//, '')
    .replace(/:(?:443|80)(?=\/|$)/, '')
    .replace(/\/+$/, '');
